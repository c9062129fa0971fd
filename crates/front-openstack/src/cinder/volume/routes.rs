//! Paths of volumes.

use actions::volume::{self, View, sized};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use serde_json::json;

use super::{action, translate};
use crate::cinder::Body;
use crate::cinder::answer::List;
use crate::cinder::error::ApiError;
use crate::cinder::here::{Here, Of, path_id};
use crate::route::Route;

/// The microversion from which on totals tell of metadata, and deletion may be forced by its path.
const SUMMARY_METADATA: u16 = 36;
const FORCE: u16 = 23;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/{project}/volumes", "listVolumes", get(list)),
        Route::new("/v3/{project}/volumes", "createVolume", post(create)),
        Route::new(
            "/v3/{project}/volumes/detail",
            "listVolumesDetailed",
            get(list_detailed),
        ),
        Route::new(
            "/v3/{project}/volumes/summary",
            "showVolumeSummary",
            get(summary),
        ),
        Route::new("/v3/{project}/volumes/{volume}", "showVolume", get(show)),
        Route::new(
            "/v3/{project}/volumes/{volume}",
            "updateVolume",
            put(update),
        ),
        Route::new(
            "/v3/{project}/volumes/{volume}",
            "deleteVolume",
            delete(remove),
        ),
        Route::several(
            "/v3/{project}/volumes/{volume}/action",
            action::OPERATIONS.to_vec(),
            post(action::act),
        ),
    ]
}

/// The volumes that a client sees, of everybody where an admin asks for it.
fn views(here: &Here) -> Result<Vec<View>, ApiError> {
    let everybodys = here.wants("all_tenants");
    let mut views = volume::list_all(&here.cloud, &here.caller, everybodys)?;
    if let Some(project) = here.query.get("project_id").filter(|_| everybodys) {
        views.retain(|view| crate::id::show(view.volume.meta.project.0) == project);
    }
    Ok(views)
}

async fn list(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "volumes", translate::brief)
}

async fn list_detailed(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "volumes/detail", |volume| volume)
}

fn list_as(
    here: &Here,
    path: &'static str,
    shown: fn(serde_json::Value) -> serde_json::Value,
) -> Result<Response, ApiError> {
    let views = views(here)?;
    List {
        many: "volumes",
        path,
        filters: &translate::FILTERS,
        objects: views
            .iter()
            .map(|view| translate::shown(here, view))
            .collect(),
        shown,
    }
    .answer(here)
}

async fn summary(here: Here) -> Result<Response, ApiError> {
    let views = views(&here)?;
    let with_metadata = here.minor >= SUMMARY_METADATA;
    Ok(Json(translate::summary(&views, with_metadata)).into_response())
}

async fn create(here: Here, body: Body) -> Result<Response, ApiError> {
    let new = translate::new(body.0)?;
    let view = sized::create(&here.cloud, &here.caller, new).await?;
    let body = json!({ "volume": translate::made(&here, &view) });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    let id = path_id("Volume", &path.1)?;
    let view = volume::show(&here.cloud, &here.caller, id)?;
    Ok(Json(json!({ "volume": translate::shown(&here, &view) })).into_response())
}

async fn update(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let id = path_id("Volume", &path.1)?;
    let change = translate::change(body.0)?;
    let view = sized::update(&here.cloud, &here.caller, id, change).await?;
    Ok(Json(json!({ "volume": translate::made(&here, &view) })).into_response())
}

async fn remove(here: Here, path: Of) -> Result<StatusCode, ApiError> {
    let id = path_id("Volume", &path.1)?;
    if here.minor >= FORCE && here.wants("force") {
        sized::force_remove(&here.cloud, &here.caller, id).await?;
    } else {
        sized::remove(&here.cloud, &here.caller, id, here.wants("cascade")).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

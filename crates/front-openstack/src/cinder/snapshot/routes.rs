//! Paths of snapshots.

use actions::snapshot::{self, SnapshotChange};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::snapshot::SnapshotPhase;
use serde_json::{Value, json};

use super::translate;
use crate::cinder::Body;
use crate::cinder::answer::List;
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, wrong};
use crate::cinder::here::{Here, Of, path_id};
use crate::route::Route;

/// The actions, by the name that the body has for each.
const OPERATIONS: [&str; 3] = [
    "snapshot:os-reset_status",
    "snapshot:os-force_delete",
    "snapshot:os-update_snapshot_status",
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/{project}/snapshots", "listSnapshots", get(list)),
        Route::new("/v3/{project}/snapshots", "createSnapshot", post(create)),
        Route::new(
            "/v3/{project}/snapshots/detail",
            "listSnapshotsDetailed",
            get(list_detailed),
        ),
        Route::new(
            "/v3/{project}/snapshots/{snapshot}",
            "showSnapshot",
            get(show),
        ),
        Route::new(
            "/v3/{project}/snapshots/{snapshot}",
            "updateSnapshot",
            put(update),
        ),
        Route::new(
            "/v3/{project}/snapshots/{snapshot}",
            "deleteSnapshot",
            delete(remove),
        ),
        Route::several(
            "/v3/{project}/snapshots/{snapshot}/action",
            OPERATIONS.to_vec(),
            post(act),
        ),
    ]
}

async fn list(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "snapshots", translate::brief)
}

async fn list_detailed(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "snapshots/detail", |snapshot| snapshot)
}

fn list_as(
    here: &Here,
    path: &'static str,
    shown: fn(Value) -> Value,
) -> Result<Response, ApiError> {
    let everybodys = here.wants("all_tenants");
    let views = snapshot::list(&here.cloud, &here.caller, everybodys)?;
    List {
        many: "snapshots",
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

async fn create(here: Here, body: Body) -> Result<Response, ApiError> {
    let new = translate::new(&here, body.0)?;
    let view = snapshot::create(&here.cloud, &here.caller, new).await?;
    let body = json!({ "snapshot": translate::made(&here, &view) });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    let id = path_id("Snapshot", &path.1)?;
    let view = snapshot::get(&here.cloud, &here.caller, id)?;
    Ok(Json(json!({ "snapshot": translate::shown(&here, &view) })).into_response())
}

async fn update(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let id = path_id("Snapshot", &path.1)?;
    let change = translate::change(body.0)?;
    let view = snapshot::update(&here.cloud, &here.caller, id, change).await?;
    Ok(Json(json!({ "snapshot": translate::made(&here, &view) })).into_response())
}

async fn remove(here: Here, path: Of) -> Result<StatusCode, ApiError> {
    let id = path_id("Snapshot", &path.1)?;
    snapshot::remove(&here.cloud, &here.caller, id, false).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn act(here: Here, path: Of, body: Body) -> Result<StatusCode, ApiError> {
    let id = path_id("Snapshot", &path.1)?;
    let mut all = Fields::all(body.0, "body")?;
    if all.has("os-force_delete") {
        snapshot::remove(&here.cloud, &here.caller, id, true).await?;
    } else if let Some(arguments) = all.take("os-reset_status") {
        let mut fields = Fields::all(arguments, "os-reset_status")?;
        let change = SnapshotChange {
            phase: Some(phase_in(&mut fields)?),
            ..SnapshotChange::default()
        };
        snapshot::update(&here.cloud, &here.caller, id, change).await?;
    } else if let Some(arguments) = all.take("os-update_snapshot_status") {
        let mut fields = Fields::all(arguments, "os-update_snapshot_status")?;
        let phase = phase_in(&mut fields)?;
        let percent = fields.text("progress")?.map(|progress| {
            translate::percent_of(&progress)
                .ok_or_else(|| wrong("progress", &json!(progress), "is not a percentage"))
        });
        snapshot::report(&here.cloud, &here.caller, id, phase, percent.transpose()?).await?;
    } else {
        return Err(ApiError::invalid("There is no such action."));
    }
    Ok(StatusCode::ACCEPTED)
}

/// The phase that a client names.
fn phase_in(fields: &mut Fields) -> Result<SnapshotPhase, ApiError> {
    let status = fields.text("status")?;
    let status = status.ok_or_else(|| ApiError::invalid("'status' is a required property"))?;
    translate::phase_of(&status)
        .ok_or_else(|| wrong("status", &json!(status), "is not one of Cinder's"))
}

//! Snapshots of volumes, as Nova shows them.

use std::collections::BTreeMap;

use actions::snapshot::{self, NewSnapshot, View};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Old, part, path_id, retold};
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::route::Route;
use crate::time::zoneless;

const ALL: &str = "/v2.1/os-snapshots";
const ONE: &str = "/v2.1/os-snapshots/{id}";

pub(super) fn routes() -> Vec<Route> {
    let detail = "/v2.1/os-snapshots/detail";
    vec![
        Route::new(ALL, "listVolumeSnapshots", get(list)),
        Route::new(ALL, "createVolumeSnapshot", post(create)),
        Route::new(detail, "listVolumeSnapshotsDetailed", get(list)),
        Route::new(ONE, "showVolumeSnapshot", get(show)),
        Route::new(ONE, "deleteVolumeSnapshot", delete(remove)),
    ]
}

async fn list(at: Old) -> Result<Response, ApiError> {
    let views = part(&at, snapshot::list(&at.cloud, &at.caller, false)?)?;
    let shown: Vec<Value> = views.iter().map(shown).collect();
    Ok(Json(json!({ "snapshots": shown })).into_response())
}

async fn create(at: Old, body: Body) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "snapshot")?;
    let volume = fields.text("volume_id", 0..=255)?;
    let volume = fields.required("volume_id", volume)?;
    let name = fields.text("display_name", 0..=255)?;
    let new = NewSnapshot {
        volume: path_id("Volume", &volume)?,
        name: name.unwrap_or_default(),
        description: fields.text("display_description", 0..=255)?,
        metadata: BTreeMap::new(),
        while_used: fields.switch("force")?.unwrap_or(false),
    };
    fields.done()?;
    let view = snapshot::create(&at.cloud, &at.caller, new).await;
    let view = view.map_err(retold)?;
    Ok(Json(json!({ "snapshot": shown(&view) })).into_response())
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = snapshot::get(&at.cloud, &at.caller, path_id("Snapshot", &id)?)?;
    Ok(Json(json!({ "snapshot": shown(&view) })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = path_id("Snapshot", &id)?;
    let removed = snapshot::remove(&at.cloud, &at.caller, id, false).await;
    removed.map_err(retold)?;
    Ok(StatusCode::ACCEPTED)
}

fn shown(view: &View) -> Value {
    let (meta, spec) = (&view.snapshot.meta, &view.snapshot.spec);
    json!({
        "id": meta.id.to_string(),
        "volumeId": spec.volume.to_string(),
        "status": view.phase().words(),
        "size": spec.size_gib,
        "createdAt": zoneless(meta.created_at),
        "displayName": meta.name,
        "displayDescription": spec.description,
    })
}

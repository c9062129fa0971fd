//! Volumes, as Nova shows them.

use actions::volume::sized::{self, NewSized, NewSource};
use actions::volume::{self, View};
use actions::volume_type;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::volume::{VolumePhase, VolumeSource};
use serde_json::{Value, json};

use super::{Old, part, path_id, retold};
use crate::cinder::ZONE;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::server::routes::set_location;
use crate::nova::server_metadata;
use crate::route::Route;
use crate::time::zoneless;

const ALL: &str = "/v2.1/os-volumes";
const ONE: &str = "/v2.1/os-volumes/{id}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listVolumes", get(list)),
        Route::new(ALL, "createVolume", post(create)),
        Route::new("/v2.1/os-volumes/detail", "listVolumesDetailed", get(list)),
        Route::new(ONE, "showVolume", get(show)),
        Route::new(ONE, "deleteVolume", delete(remove)),
    ]
}

async fn list(at: Old) -> Result<Response, ApiError> {
    let views = part(&at, volume::list_all(&at.cloud, &at.caller, false)?)?;
    let shown: Vec<Value> = views.iter().map(|view| shown(&at, view)).collect();
    Ok(Json(json!({ "volumes": shown })).into_response())
}

async fn create(at: Old, body: Body) -> Result<Response, ApiError> {
    let view = sized::create(&at.cloud, &at.caller, new(body.0)?).await;
    let view = view.map_err(retold)?;
    let mut response = Json(json!({ "volume": shown(&at, &view) })).into_response();
    let id = view.volume.meta.id;
    set_location(
        &mut response,
        &format!("{}/compute{ALL}/{id}", at.settings.url),
    );
    Ok(response)
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = volume::show(&at.cloud, &at.caller, path_id("Volume", &id)?)?;
    Ok(Json(json!({ "volume": shown(&at, &view) })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = path_id("Volume", &id)?;
    let removed = sized::remove(&at.cloud, &at.caller, id, false).await;
    removed.map_err(retold)?;
    Ok(StatusCode::ACCEPTED)
}

fn new(body: Value) -> Result<NewSized, ApiError> {
    let mut fields = Fields::of(body, "volume")?;
    let size = fields.integer("size", 1..=u32::MAX)?;
    let size_gib = Some(fields.required("size", size)?);
    let text = |fields: &mut Fields, name| fields.text(name, 0..=255);
    if let Some(zone) = text(&mut fields, "availability_zone")?
        && zone != ZONE
    {
        let message = format!("Invalid input received: Availability zone '{zone}' is invalid.");
        return Err(ApiError::invalid(message));
    }
    let snapshot = text(&mut fields, "snapshot_id")?;
    let source = snapshot
        .map(|id| path_id("Snapshot", &id).map(NewSource::Snapshot))
        .transpose()?;
    let metadata = fields.take("metadata");
    let new = NewSized {
        size_gib,
        source,
        title: text(&mut fields, "display_name")?.unwrap_or_default(),
        description: text(&mut fields, "display_description")?,
        volume_type: text(&mut fields, "volume_type")?,
        metadata: metadata
            .map(server_metadata::translate::read)
            .transpose()?
            .unwrap_or_default(),
        ..NewSized::default()
    };
    fields.done().map(|()| new)
}

fn shown(at: &At, view: &View) -> Value {
    let (meta, spec) = (&view.volume.meta, &view.volume.spec);
    let id = meta.id.to_string();
    let used = view
        .uses
        .iter()
        .find(|one| one.phase == VolumePhase::InUse)
        .map(|one| {
            let mut attachment = json!({ "id": id, "volumeId": id, "serverId": one.instance });
            if let Some(device) = &one.device {
                attachment["device"] = json!(device);
            }
            attachment
        });
    let volume_type = spec
        .volume_type
        .and_then(|id| volume_type::get(&at.cloud, &at.caller, id).ok());
    let snapshot = match &spec.source {
        Some(VolumeSource::Snapshot(id)) => Some(id.to_string()),
        _ => None,
    };
    json!({
        "id": id,
        "status": view.phase().words(),
        "size": spec.size_gib.unwrap_or(0),
        "availabilityZone": ZONE,
        "createdAt": zoneless(meta.created_at),
        // As Nova: a volume that nobody uses has one that is empty.
        "attachments": [used.unwrap_or_else(|| json!({}))],
        "displayName": view.title(),
        "displayDescription": spec.description,
        "volumeType": volume_type.map(|one| one.meta.name.clone()),
        "snapshotId": snapshot,
        "metadata": spec.metadata,
    })
}

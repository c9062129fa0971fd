//! Paths of the volumes of servers.

use actions::server;
use actions::volume_attachment::{self, Attachment};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::Id;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::route::Route;

const ALL: &str = "/v2.1/servers/{server}/os-volume_attachments";
const ONE: &str = "/v2.1/servers/{server}/os-volume_attachments/{volume}";
/// The microversion from which on an attachment can be changed by more than its volume.
const CHANGE: u16 = 85;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listVolumeAttachments", get(list)),
        Route::new(ALL, "createVolumeAttachment", post(attach)),
        Route::new(ONE, "showVolumeAttachment", get(show)),
        Route::new(ONE, "updateVolumeAttachment", put(update)),
        Route::new(ONE, "deleteVolumeAttachment", delete(detach)),
    ]
}

fn server_of(text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("Instance {text} could not be found.")))
}

fn volume_of(text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("volume_id not found: {text}")))
}

fn find(at: &At, server: &str, volume: &str) -> Result<Attachment, ApiError> {
    let wanted = volume_of(volume)?;
    let all = volume_attachment::list(&at.cloud, &at.caller, server_of(server)?)?;
    let mut all = all.into_iter();
    all.find(|one| one.known.volume == wanted).ok_or_else(|| {
        ApiError::not_found(format!(
            "Instance {server} is not attached to volume {volume}"
        ))
    })
}

async fn list(at: At, Path(server): Path<String>) -> Result<Response, ApiError> {
    let all = volume_attachment::list(&at.cloud, &at.caller, server_of(&server)?)?;
    let number = |name: &str| -> Result<Option<usize>, ApiError> {
        let Some(text) = at.query.get(name) else {
            return Ok(None);
        };
        let number = text.parse();
        number.map(Some).map_err(|_| {
            ApiError::invalid(format!(
                "Invalid input for query parameters {name}. Value: {text}. It must be a number of at least 0."
            ))
        })
    };
    let (offset, limit) = (number("offset")?.unwrap_or(0), number("limit")?);
    let page = all.iter().skip(offset).take(limit.unwrap_or(usize::MAX));
    let shown: Vec<Value> = page.map(|one| translate::shown(&at, one)).collect();
    Ok(Json(json!({ "volumeAttachments": shown })).into_response())
}

async fn show(
    at: At,
    Path((server, volume)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let one = find(&at, &server, &volume)?;
    Ok(Json(json!({ "volumeAttachment": translate::shown(&at, &one) })).into_response())
}

async fn attach(at: At, Path(server): Path<String>, body: Body) -> Result<Response, ApiError> {
    let server = server_of(&server)?;
    let new = translate::new(&at, body.0)?;
    let made = server::attach_volume(&at.cloud, &at.caller, server, new).await?;
    Ok(Json(json!({ "volumeAttachment": translate::shown(&at, &made) })).into_response())
}

async fn update(
    at: At,
    Path((server, volume)): Path<(String, String)>,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let one = find(&at, &server, &volume)?;
    let volume = one.known.volume;
    let change = translate::change(volume, body.0)?;
    if at.minor >= CHANGE
        && let Some(wanted) = change
    {
        let (cloud, caller) = (&at.cloud, &at.caller);
        volume_attachment::update(cloud, caller, one.instance, volume, wanted).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

async fn detach(
    at: At,
    Path((server, volume)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let one = find(&at, &server, &volume)?;
    let volume = one.known.volume;
    server::detach_volume(&at.cloud, &at.caller, one.instance, volume).await?;
    Ok(StatusCode::ACCEPTED)
}

//! Paths of what was done to servers.

use actions::server;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::Id;
use model::server::Deed;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::server::routes::path_id;
use crate::route::Route;
use crate::{id, time};

/// The microversion from which on servers that are gone are told of.
const ALSO_GONE: u16 = 21;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.1/servers/{id}/os-instance-actions",
            "listServerActions",
            get(list),
        ),
        Route::new(
            "/v2.1/servers/{id}/os-instance-actions/{request}",
            "showServerAction",
            get(show),
        ),
    ]
}

/// A moment as Nova writes it here: with microseconds, without a zone.
fn moment(at: jiff::Timestamp) -> String {
    time::micros(at).trim_end_matches('Z').to_owned()
}

fn shown(at: &At, server: Id, deed: &Deed) -> Value {
    let mut shown = json!({
        "action": deed.action,
        "instance_uuid": server.to_string(),
        "message": deed.failure.as_ref().map(|_| "Error"),
        "project_id": id::show(deed.project),
        "request_id": deed.request,
        "start_time": moment(deed.started_at),
        "user_id": id::show(deed.user),
    });
    if at.minor >= 58 {
        shown["updated_at"] = json!(moment(deed.ended_at.unwrap_or(deed.started_at)));
    }
    shown
}

async fn list(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = path_id(&id)?;
    let deeds = server::deeds(&at.cloud, &at.caller, id, at.minor >= ALSO_GONE)?;
    let all: Vec<Value> = deeds
        .iter()
        .rev()
        .map(|deed| shown(&at, id, deed))
        .collect();
    Ok(Json(json!({ "instanceActions": all })).into_response())
}

async fn show(at: At, Path((id, request)): Path<(String, String)>) -> Result<Response, ApiError> {
    let id = path_id(&id)?;
    let deeds = server::deeds(&at.cloud, &at.caller, id, at.minor >= ALSO_GONE)?;
    let found = deeds.iter().find(|deed| deed.request == request);
    let deed = found.ok_or_else(|| {
        ApiError::not_found(format!(
            "Action for request_id {request} on instance {id} not found"
        ))
    })?;
    let mut answer = shown(&at, id, deed);
    let mut event = json!({
        "event": format!("compute__do_{}", deed.action),
        "start_time": moment(deed.started_at),
        "finish_time": deed.ended_at.map(moment),
        "result": match (&deed.ended_at, &deed.failure) {
            (None, _) => Value::Null,
            (Some(_), None) => json!("Success"),
            (Some(_), Some(_)) => json!("Error"),
        },
    });
    if at.caller.is_admin() {
        event["traceback"] = json!(deed.failure);
        let view = server::get(&at.cloud, &at.caller, id).ok();
        event["host"] = json!(view.and_then(|view| view.host(&at.cloud)));
    }
    if at.minor >= 84 {
        event["details"] = json!(deed.failure);
    }
    answer["events"] = json!([event]);
    Ok(Json(json!({ "instanceAction": answer })).into_response())
}

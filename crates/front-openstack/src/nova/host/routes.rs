//! Paths of hosts, up to microversion 2.42. To keep new servers away from one is the business of its
//! service; a node's power and its maintenance are not in our hands.

use actions::node::{self, View};
use actions::policy::{Action, Target};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::StatusCode;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::service::routes::SERVICES;
use crate::nova::{Body, list};
use crate::route::Route;

/// The last microversion with hosts.
const LAST: u16 = 42;

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/os-hosts/{name}";
    vec![
        Route::new("/v2.1/os-hosts", "listHosts", get(list)),
        Route::new(ONE, "showHost", get(show)),
        Route::new(ONE, "updateHost", put(update)),
        Route::new("/v2.1/os-hosts/{name}/startup", "startHost", get(power)),
        Route::new("/v2.1/os-hosts/{name}/shutdown", "stopHost", get(power)),
        Route::new("/v2.1/os-hosts/{name}/reboot", "rebootHost", get(power)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    list::within(&at, 1, LAST)?;
    let wanted = at.query.get("zone").filter(|zone| !zone.is_empty());
    let mut hosts = Vec::new();
    for view in node::list(&at.cloud, &at.caller)? {
        for service in &SERVICES {
            let zone = service.zone(&at, &view);
            if service.is_cordoned(&view) || wanted.is_some_and(|wanted| wanted != zone) {
                continue;
            }
            hosts.push(json!({
                "host_name": view.node.meta.name,
                "service": service.topic,
                "zone": zone,
            }));
        }
    }
    Ok(Json(json!({ "hosts": hosts })).into_response())
}

fn find(at: &At, name: &str) -> Result<View, ApiError> {
    list::within(at, 1, LAST)?;
    let all = node::list(&at.cloud, &at.caller)?;
    let found = all.into_iter().find(|view| view.node.meta.name == name);
    found.ok_or_else(|| ApiError::not_found(format!("Compute host {name} could not be found.")))
}

async fn show(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let view = find(&at, &name)?;
    let resources = translate::resources(&view);
    let host: Vec<Value> = resources
        .into_iter()
        .map(|resource| json!({ "resource": resource }))
        .collect();
    Ok(Json(json!({ "host": host })).into_response())
}

async fn update(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    at.caller.may(Action::UpdateNode, &Target::SYSTEM)?;
    translate::check_update(body.0)?;
    find(&at, &name)?;
    Err(unsupported(
        "A host has no status of its own: disable or enable its nova-compute service",
    ))
}

async fn power(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    find(&at, &name)?;
    Err(unsupported(
        "The power of hosts is not in this cloud's hands",
    ))
}

fn unsupported(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, message)
}

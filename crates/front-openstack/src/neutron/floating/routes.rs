//! Paths of floating addresses.

use actions::floating;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::StatusCode;

use super::translate;
use crate::front::At;
use crate::neutron::Body;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "floatingip",
    many: "floatingips",
    path: "floatingips",
    kind: "FloatingIP",
    attributes: &[
        "floating_network_id",
        "floating_ip_address",
        "fixed_ip_address",
        "port_id",
        "router_id",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/floatingips", "listFloatingIps", get(list)),
        Route::new("/v2.0/floatingips", "createFloatingIp", post(create)),
        Route::new("/v2.0/floatingips/{id}", "showFloatingIp", get(show)),
        Route::new("/v2.0/floatingips/{id}", "updateFloatingIp", put(update)),
        Route::new("/v2.0/floatingips/{id}", "deleteFloatingIp", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = floating::list(&at.cloud, &at.caller);
    let objects = found.iter().map(translate::shown).collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (caller, new) = translate::new(&at, body.0)?;
    let made = floating::create(&at.cloud, &caller, new).await?;
    Ok(answer::made(&NOUN, translate::shown(&made)))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = floating::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = floating::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    floating::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

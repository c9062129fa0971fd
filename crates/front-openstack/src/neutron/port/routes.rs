//! Paths of ports.

use actions::port;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::StatusCode;

use super::translate;
use crate::front::At;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::neutron::{Body, bulk};
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "port",
    many: "ports",
    path: "ports",
    kind: "Port",
    attributes: &[
        "admin_state_up",
        "network_id",
        "mac_address",
        "fixed_ips",
        "device_id",
        "device_owner",
        "security_groups",
        "port_security_enabled",
        "binding:host_id",
        "binding:vif_type",
        "binding:vnic_type",
        "ip_allocation",
        "dns_name",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/ports", "listPorts", get(list)),
        Route::new("/v2.0/ports", "createPort", post(create)),
        Route::new("/v2.0/ports/{id}", "showPort", get(show)),
        Route::new("/v2.0/ports/{id}", "updatePort", put(update)),
        Route::new("/v2.0/ports/{id}", "deletePort", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = port::list(&at.cloud, &at.caller);
    let objects = found.iter().map(translate::shown).collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (at, cloud) = (&at, &at.cloud);
    bulk::create(
        &NOUN,
        body.0,
        |body| translate::new(at, body),
        |(caller, new)| async move { port::create(cloud, &caller, new).await },
        |view| port::remove(cloud, &at.caller, view.port.meta.id),
        translate::shown,
    )
    .await
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = port::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = port::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    port::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Paths of networks.

use actions::network;
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
    one: "network",
    many: "networks",
    path: "networks",
    kind: "Network",
    attributes: &[
        "admin_state_up",
        "shared",
        "router:external",
        "mtu",
        "port_security_enabled",
        "subnets",
        "is_default",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/networks", "listNetworks", get(list)),
        Route::new("/v2.0/networks", "createNetwork", post(create)),
        Route::new("/v2.0/networks/{id}", "showNetwork", get(show)),
        Route::new("/v2.0/networks/{id}", "updateNetwork", put(update)),
        Route::new("/v2.0/networks/{id}", "deleteNetwork", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = network::list_all(&at.cloud, &at.caller);
    let objects = found
        .iter()
        .map(|network| translate::shown(network))
        .collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (at, cloud) = (&at, &at.cloud);
    bulk::create(
        &NOUN,
        body.0,
        |body| translate::new(at, body),
        |(caller, new)| async move {
            let id = network::create(cloud, &caller, new).await?;
            network::get(cloud, &caller, id)
        },
        |network| network::remove(cloud, &at.caller, network.meta.id),
        |network| translate::shown(network),
    )
    .await
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let wanted = path_id(NOUN.kind, &id)?;
    let found = network::list_all(&at.cloud, &at.caller)
        .into_iter()
        .find(|network| network.meta.id == wanted)
        .ok_or_else(|| ApiError::not_found(NOUN.kind, &id))?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = network::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    network::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

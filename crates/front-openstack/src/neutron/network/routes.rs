//! Paths of networks.

use std::sync::Arc;

use actions::network::{self, NewNetwork};
use actions::{ActionError, Caller};
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::network::Network;
use serde_json::Value;

use super::translate;
use crate::front::At;
use crate::neutron::Body;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Bodies, path_id};
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
    match Bodies::of(body.0, &NOUN)? {
        Bodies::One(body) => {
            let made = create_one(&at, translate::new(&at, body)?).await?;
            Ok(answer::made(&NOUN, translate::shown(&made)))
        }
        Bodies::Many(bodies) => create_many(&at, bodies).await,
    }
}

async fn create_one(
    at: &At,
    (caller, new): (Caller, NewNetwork),
) -> Result<Arc<Network>, ActionError> {
    let id = network::create(&at.cloud, &caller, new).await?;
    network::get(&at.cloud, &caller, id)
}

/// Makes all of them, or none.
async fn create_many(at: &At, bodies: Vec<Value>) -> Result<Response, ApiError> {
    let all = bodies.into_iter().map(|body| translate::new(at, body));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    let mut made: Vec<Arc<Network>> = Vec::new();
    for new in all {
        match create_one(at, new).await {
            Ok(network) => made.push(network),
            Err(error) => {
                for network in made {
                    network::remove(&at.cloud, &at.caller, network.meta.id).await?;
                }
                return Err(error.into());
            }
        }
    }
    let shown = made.iter().map(|network| translate::shown(network));
    Ok(answer::made_many(&NOUN, shown.collect()))
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

//! Paths of ports.

use actions::port::{self, View};
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use serde_json::Value;

use super::translate;
use crate::front::At;
use crate::neutron::Body;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Bodies, path_id};
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
    match Bodies::of(body.0, &NOUN)? {
        Bodies::One(body) => {
            let (caller, new) = translate::new(&at, body)?;
            let made = port::create(&at.cloud, &caller, new).await?;
            Ok(answer::made(&NOUN, translate::shown(&made)))
        }
        Bodies::Many(bodies) => create_many(&at, bodies).await,
    }
}

/// Makes all of them, or none.
async fn create_many(at: &At, bodies: Vec<Value>) -> Result<Response, ApiError> {
    let all = bodies.into_iter().map(|body| translate::new(at, body));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    let mut made: Vec<View> = Vec::new();
    for (caller, new) in all {
        match port::create(&at.cloud, &caller, new).await {
            Ok(view) => made.push(view),
            Err(error) => {
                for view in made {
                    port::remove(&at.cloud, &at.caller, view.port.meta.id).await?;
                }
                return Err(error.into());
            }
        }
    }
    let shown = made.iter().map(translate::shown);
    Ok(answer::made_many(&NOUN, shown.collect()))
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

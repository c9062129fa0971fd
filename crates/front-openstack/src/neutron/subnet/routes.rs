//! Paths of subnets.

use actions::subnet::{self, View};
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
    one: "subnet",
    many: "subnets",
    path: "subnets",
    kind: "Subnet",
    attributes: &[
        "network_id",
        "ip_version",
        "cidr",
        "gateway_ip",
        "enable_dhcp",
        "ipv6_address_mode",
        "ipv6_ra_mode",
        "dns_nameservers",
        "subnetpool_id",
        "segment_id",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/subnets", "listSubnets", get(list)),
        Route::new("/v2.0/subnets", "createSubnet", post(create)),
        Route::new("/v2.0/subnets/{id}", "showSubnet", get(show)),
        Route::new("/v2.0/subnets/{id}", "updateSubnet", put(update)),
        Route::new("/v2.0/subnets/{id}", "deleteSubnet", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = subnet::list(&at.cloud, &at.caller);
    let objects = found.iter().map(translate::shown).collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    match Bodies::of(body.0, &NOUN)? {
        Bodies::One(body) => {
            let (caller, new) = translate::new(&at, body)?;
            let made = subnet::create(&at.cloud, &caller, new).await?;
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
        match subnet::create(&at.cloud, &caller, new).await {
            Ok(view) => made.push(view),
            Err(error) => {
                for view in made {
                    subnet::remove(&at.cloud, &at.caller, view.subnet.id).await?;
                }
                return Err(error.into());
            }
        }
    }
    let shown = made.iter().map(translate::shown);
    Ok(answer::made_many(&NOUN, shown.collect()))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = subnet::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = subnet::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    subnet::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

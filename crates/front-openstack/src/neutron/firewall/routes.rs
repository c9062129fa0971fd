//! Paths of security groups.

use actions::firewall;
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
    one: "security_group",
    many: "security_groups",
    path: "security-groups",
    kind: "SecurityGroup",
    attributes: &["shared"],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/security-groups", "listSecurityGroups", get(list)),
        Route::new("/v2.0/security-groups", "createSecurityGroup", post(create)),
        Route::new("/v2.0/security-groups/{id}", "showSecurityGroup", get(show)),
        Route::new(
            "/v2.0/security-groups/{id}",
            "updateSecurityGroup",
            put(update),
        ),
        Route::new(
            "/v2.0/security-groups/{id}",
            "deleteSecurityGroup",
            delete(remove),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = firewall::list(&at.cloud, &at.caller).await?;
    let objects = found
        .iter()
        .map(|firewall| translate::shown(firewall))
        .collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (caller, new) = translate::new(&at, body.0)?;
    let made = firewall::create(&at.cloud, &caller, new).await?;
    Ok(answer::made(&NOUN, translate::shown(&made)))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = firewall::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = firewall::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    firewall::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Paths of the rules of security groups.

use actions::firewall;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;

use super::translate;
use crate::front::At;
use crate::neutron::Body;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "security_group_rule",
    many: "security_group_rules",
    path: "security-group-rules",
    kind: "SecurityGroupRule",
    attributes: &[
        "security_group_id",
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "remote_group_id",
        "remote_address_group_id",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.0/security-group-rules",
            "listSecurityGroupRules",
            get(list),
        ),
        Route::new(
            "/v2.0/security-group-rules",
            "createSecurityGroupRule",
            post(create),
        ),
        Route::new(
            "/v2.0/security-group-rules/{id}",
            "showSecurityGroupRule",
            get(show),
        ),
        Route::new(
            "/v2.0/security-group-rules/{id}",
            "deleteSecurityGroupRule",
            delete(remove),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = firewall::list(&at.cloud, &at.caller).await?;
    let objects = found
        .iter()
        .flat_map(|group| {
            let rules = group.spec.rules.iter();
            rules.map(|rule| translate::shown(group, rule))
        })
        .collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (group, new) = translate::new(body.0)?;
    let made = firewall::add_rules(&at.cloud, &at.caller, group, &[new]).await?;
    let id = made.first().map(|rule| rule.id);
    let id = id.ok_or_else(|| ApiError::not_found(NOUN.kind, "None"))?;
    let (group, rule) = firewall::rule(&at.cloud, &at.caller, id)?;
    Ok(answer::made(&NOUN, translate::shown(&group, &rule)))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = firewall::rule(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(
        &at,
        &NOUN,
        translate::shown(&found.0, &found.1),
    ))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    firewall::remove_rule(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

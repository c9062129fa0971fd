//! Networks, version 2.0: what containers and other tenants' machines are plugged into.
//!
//! Spec: <https://docs.openstack.org/api-ref/network/v2/>. Every network that the Docker API made is
//! here too, as they are the same records. Address scopes and quality of service are not: their paths are none of ours, and their extensions are not listed.

mod agent;
mod answer;
mod bulk;
mod cloud;
mod discovery;
mod error;
mod fields;
mod firewall;
mod floating;
mod network;
mod port;
mod quota;
mod router;
mod rule;
mod subnet;
mod tag;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::ApiError;
use crate::route::Route;

/// A body in JSON, refused in Neutron's envelope.
type Body = crate::json::Json<serde_json::Value, ApiError>;

pub(crate) fn routes() -> Vec<Route> {
    [
        discovery::routes::routes(),
        network::routes::routes(),
        subnet::routes::routes(),
        port::routes::routes(),
        firewall::routes::routes(),
        rule::routes::routes(),
        router::routes::routes(),
        floating::routes::routes(),
        tag::routes::routes(),
        quota::routes::routes(),
        cloud::routes::routes(),
        agent::routes::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The answer to a path that is none of ours.
pub(crate) fn missing() -> Response {
    let message = "The resource could not be found.";
    ApiError::new(StatusCode::NOT_FOUND, "HTTPNotFound", message).into_response()
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method() -> Response {
    let message = "The method is not allowed for this resource.";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "HTTPMethodNotAllowed",
        message,
    )
    .into_response()
}

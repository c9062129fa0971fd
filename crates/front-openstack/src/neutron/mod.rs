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

/// Extensions of Neutron's that clients ask for and that are not served, by their paths, and why.
const REFUSED: [(&str, &str); 3] = [
    (
        "/v2.0/address-scopes",
        "Address scopes are not served: projects may use the same addresses, and only routers with an \
         external gateway lead out of a network.",
    ),
    (
        "/v2.0/subnetpools",
        "Subnet pools are not served: say the range of a subnet by its cidr.",
    ),
    (
        "/v2.0/qos",
        "Quality of service is not served: the bandwidth of ports is not limited.",
    ),
];

/// The answer to a path that is none of ours.
pub(crate) fn missing(path: &str) -> Response {
    let refused = REFUSED.iter().find(|(known, _)| path.starts_with(known));
    let message = refused.map_or("The resource could not be found.", |(_, why)| why);
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

//! Compute, version 2.1: servers, each of them an instance with one container, and what they are
//! made with.
//!
//! Spec: <https://docs.openstack.org/api-ref/compute/>. Every container that the Docker API made in
//! a project is a server of it too, as they are the same records.

mod aggregate;
mod discovery;
mod error;
mod extension;
mod fields;
mod flavor;
mod host;
mod hypervisor;
mod instance_action;
mod key_pair;
mod limit;
mod list;
mod migration;
mod number;
mod proxy;
mod quota_set;
mod server;
mod server_action;
mod server_console;
mod server_diagnostics;
mod server_group;
mod server_interface;
mod server_metadata;
mod server_password;
mod server_tag;
mod service;
mod usage;
mod usage_audit;
mod volume_attachment;
mod zone;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::ApiError;
use crate::microversion::Microversions;
use crate::route::Route;

/// A body in JSON, refused in Nova's envelope.
type Body = crate::json::Json<serde_json::Value, ApiError>;

/// From which shape of the API to which.
pub(crate) const MICROVERSIONS: Microversions = Microversions {
    service: "compute",
    own_header: Some("x-openstack-nova-api-version"),
    major: 2,
    oldest: 1,
    newest: 96,
    refuse: |status, message| ApiError::new(status, message).into_response(),
};

pub(crate) fn routes() -> Vec<Route> {
    [
        discovery::routes::routes(),
        server::routes::routes(),
        server_action::routes::routes(),
        server_console::routes::routes(),
        server_diagnostics::routes::routes(),
        server_interface::routes::routes(),
        server_metadata::routes::routes(),
        server_password::routes::routes(),
        server_tag::routes::routes(),
        instance_action::routes::routes(),
        flavor::routes::routes(),
        key_pair::routes::routes(),
        limit::routes::routes(),
        quota_set::routes::routes(),
        server_group::routes::routes(),
        zone::routes::routes(),
        hypervisor::routes::routes(),
        service::routes::routes(),
        migration::routes::routes(),
        extension::routes::routes(),
        aggregate::routes::routes(),
        host::routes::routes(),
        usage::routes::routes(),
        usage_audit::routes::routes(),
        volume_attachment::routes::routes(),
        proxy::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The answer to a path that is none of ours.
pub(crate) fn missing(_path: &str) -> Response {
    let message = "The resource could not be found.";
    ApiError::new(StatusCode::NOT_FOUND, message).into_response()
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method() -> Response {
    let message = "The method is not allowed for this resource.";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}

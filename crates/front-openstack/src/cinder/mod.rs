//! Block storage, version 3: volumes with a size, their snapshots, types, transfers and attachments.
//!
//! Spec: <https://docs.openstack.org/api-ref/block-storage/v3/>. Every volume of a project is here,
//! those of the Docker API too, as they are the same records; what has no size shows 0. Backups,
//! groups, consistency groups, quality of service, encryption and migration are not served: their
//! paths are none of ours, and requests that name them are refused by the field.

mod answer;
mod attachment;
mod cloud;
mod discovery;
mod error;
mod fields;
mod here;
mod host;
mod quota;
mod snapshot;
mod transfer;
mod volume;
mod volume_type;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::ApiError;
pub(crate) use self::volume::translate::ZONE;
use crate::microversion::Microversions;
use crate::route::Route;

/// A body in JSON, refused in Cinder's envelope.
type Body = crate::json::Json<serde_json::Value, ApiError>;

/// From which shape of the API to which.
pub(crate) const MICROVERSIONS: Microversions = Microversions {
    service: "volume",
    own_header: None,
    major: 3,
    oldest: 0,
    newest: 71,
    refuse: |status, message| ApiError::new(status, message).into_response(),
};

pub(crate) fn routes() -> Vec<Route> {
    [
        discovery::routes::routes(),
        volume::routes::routes(),
        volume::metadata::routes(),
        snapshot::routes::routes(),
        volume_type::routes::routes(),
        transfer::routes::routes(),
        attachment::routes::routes(),
        quota::routes::routes(),
        host::routes::routes(),
        cloud::routes::routes(),
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

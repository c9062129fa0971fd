//! Identity, version 3: who there is, and what they may do.
//!
//! Spec: <https://docs.openstack.org/api-ref/identity/v3/>. Answers and messages are those of the
//! release 2026.1.

mod answer;
mod application_credential;
mod assignment;
mod credential;
mod discovery;
mod ec2;
mod error;
mod fields;
mod group;
mod limit;
mod project;
mod role;
mod service;
mod token;
mod trust;
mod user;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::ApiError;
use crate::route::Route;

/// A body in JSON, refused in Keystone's envelope.
type Body<T> = crate::json::Json<T, ApiError>;

pub(crate) fn routes() -> Vec<Route> {
    [
        discovery::routes::routes(),
        token::routes::routes(),
        project::routes::routes(),
        user::routes::routes(),
        group::routes::routes(),
        role::routes::routes(),
        assignment::routes::routes(),
        credential::routes::routes(),
        ec2::routes::routes(),
        trust::routes::routes(),
        application_credential::routes::routes(),
        service::routes::routes(),
        limit::routes::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The answer to a path that is none of ours.
pub(crate) fn missing(_path: &str) -> Response {
    ApiError::new(StatusCode::NOT_FOUND, "The resource could not be found.").into_response()
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method() -> Response {
    let message = "The method is not allowed for the requested URL.";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}

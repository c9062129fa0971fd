//! Identity, version 3: who there is, and what they may do.
//!
//! Spec: <https://docs.openstack.org/api-ref/identity/v3/>. Answers and messages are those of the
//! release 2026.1.

mod discovery;
mod error;
mod project;
mod token;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::Error;
use crate::route::Route;

/// A body in JSON, refused in Keystone's envelope.
type Body<T> = crate::json::Json<T, Error>;

pub(crate) fn routes() -> Vec<Route> {
    [
        discovery::routes::routes(),
        token::routes::routes(),
        project::routes::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The answer to a path that is none of ours.
pub(crate) fn missing() -> Response {
    Error::new(StatusCode::NOT_FOUND, "The resource could not be found.").into_response()
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method() -> Response {
    let message = "The method is not allowed for the requested URL.";
    Error::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}

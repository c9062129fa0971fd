//! Images, version 2: what containers are made of, whose they are and who may have them.
//!
//! Spec: <https://docs.openstack.org/api-ref/image/v2/>. There is one store, `local`, which is the
//! engine's own. The cache is not served.

mod answer;
mod data;
mod discovery;
mod error;
pub(crate) mod image;
mod import;
mod member;
mod metadef;
mod schema;
mod tag;
mod task;

use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::error::ApiError;
use crate::route::Route;

/// A body in JSON, refused in Glance's envelope.
type Body = crate::json::Json<serde_json::Value, ApiError>;

/// The one store, as clients call it.
const STORE: &str = "local";
/// How images can be filled beside by an upload.
const IMPORT_METHODS: [&str; 2] = ["glance-direct", "web-download"];

pub(crate) fn routes() -> Vec<Route> {
    let routes = [
        discovery::routes::routes(),
        image::routes::routes(),
        data::routes::routes(),
        import::routes::routes(),
        member::routes::routes(),
        tag::routes::routes(),
        task::routes::routes(),
        schema::routes::routes(),
        metadef::routes(),
    ];
    let with_negotiation = |route: Route| Route {
        handler: route.handler.layer(from_fn(error::negotiate)),
        ..route
    };
    routes.into_iter().flatten().map(with_negotiation).collect()
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

//! The registry: OCI Distribution Specification v1.1, with tokens as Docker's clients ask for them.
//!
//! A directory a noun; `routes` has what can be asked of it. Names of repositories have slashes, so
//! [`path`] tells apart what is asked for, and `operation` calls the noun's function for it.
//! [`auth`] says who asks. This crate owns no state: it reads and writes through `actions::registry`.

mod auth;
mod blob;
mod catalogue;
mod error;
mod front;
#[cfg(fuzzing)]
pub mod fuzzing;
mod manifest;
mod operation;
mod paging;
mod path;
mod query;
mod referrer;
mod search;
mod tag;
mod token;
mod upload;
mod visibility;

use actions::Cloud;
use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{any, get};
use http::{HeaderName, HeaderValue};

use self::front::Front;
pub use self::front::Settings;

/// Tells clients of Docker's that this is a registry.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Everything below `/v2/`, and the search, which is older.
pub fn router(cloud: Cloud, settings: Settings) -> Router {
    Router::new()
        .route(
            "/v2/token",
            get(token::routes::ask).post(token::routes::post),
        )
        .route("/v1/_ping", get(search::routes::ping))
        .route("/v1/search", get(search::routes::search))
        .route("/v2", any(operation::run))
        .route("/v2/", any(operation::run))
        .route("/v2/{*path}", any(operation::run))
        .layer(map_response(finish))
        .with_state(Front { cloud, settings })
}

/// The header that every answer has.
async fn finish(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

//! The path of migrations: there never was one, as a server stays on the node that it was made on.

use actions::policy::{Action, Target};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::front::At;
use crate::nova::error::ApiError;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(
        "/v2.1/os-migrations",
        "listMigrations",
        get(list),
    )]
}

async fn list(at: At) -> Result<Response, ApiError> {
    at.caller.may(Action::ListMigrations, &Target::SYSTEM)?;
    Ok(Json(json!({ "migrations": [] })).into_response())
}

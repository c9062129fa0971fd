//! Paths of servers' passwords.

use actions::server;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use http::StatusCode;
use serde_json::json;

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::server::routes::path_id;
use crate::route::Route;

const PATH: &str = "/v2.1/servers/{id}/os-server-password";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(PATH, "showServerPassword", get(show)),
        Route::new(PATH, "clearServerPassword", delete(clear)),
    ]
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let password = server::get_password(&at.cloud, &at.caller, path_id(&id)?)?;
    Ok(Json(json!({ "password": password })).into_response())
}

async fn clear(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    server::clear_password(&at.cloud, &at.caller, path_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

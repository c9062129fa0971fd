//! Paths of schemas.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use super::{metadef, translate};
use crate::front::At;
use crate::glance::error::ApiError;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2/schemas/{noun}", "showSchema", get(show)),
        Route::new(
            "/v2/schemas/metadefs/{noun}",
            "showMetadefSchema",
            get(show_metadef),
        ),
    ]
}

async fn show(_: At, Path(noun): Path<String>) -> Result<Response, ApiError> {
    answer(translate::schema(&noun))
}

async fn show_metadef(_: At, Path(noun): Path<String>) -> Result<Response, ApiError> {
    answer(metadef::schema(&noun))
}

fn answer(schema: Option<Value>) -> Result<Response, ApiError> {
    let schema = schema.ok_or_else(|| ApiError::not_found("The resource could not be found."))?;
    Ok(Json(schema).into_response())
}

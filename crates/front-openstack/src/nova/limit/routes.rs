//! The path of limits.

use actions::quota::{self, Service};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::ProjectId;
use serde_json::json;

use super::translate;
use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::nova::list;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("/v2.1/limits", "showLimits", get(show))]
}

async fn show(at: At) -> Result<Response, ApiError> {
    list::check_query(&at, &["tenant_id"])?;
    let project = match at.query.get("tenant_id") {
        None => at.caller.project(),
        Some(text) => id::parse(text)
            .map(ProjectId)
            .ok_or_else(|| ApiError::not_found(format!("Project {text} could not be found.")))?,
    };
    let figures = quota::figures(&at.cloud, &at.caller, Service::Compute, project)?;
    let absolute = translate::absolute(&at, &figures);
    Ok(Json(json!({ "limits": { "rate": [], "absolute": absolute } })).into_response())
}

//! The path of diagnostics.

use actions::server;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::translate;
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::server::routes::path_id;
use crate::route::Route;

/// The microversion since which diagnostics are alike for all hypervisors.
const ALIKE_SINCE: u16 = 48;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(
        "/v2.1/servers/{id}/diagnostics",
        "showServerDiagnostics",
        get(show),
    )]
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (view, stats) = server::diagnostics(&at.cloud, &at.caller, path_id(&id)?).await?;
    let shown = if at.minor >= ALIKE_SINCE {
        translate::alike(&at.cloud, &view, &stats)
    } else {
        translate::plain(&stats)
    };
    Ok(Json(shown).into_response())
}

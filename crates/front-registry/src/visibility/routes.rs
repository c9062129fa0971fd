//! `/v2/<name>/_longshore/visibility`.

use actions::registry::repository;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};

use super::wire::{Document, Visibility};
use crate::error::ApiError;
use crate::front::At;

/// Bytes of the largest document.
const MOST_BYTES: usize = 4096;

/// Who may pull.
pub(crate) fn get(at: &At<'_>) -> Result<Response, ApiError> {
    let public = repository::is_public(at.cloud, &at.visitor, &at.name)?;
    Ok(answer(public))
}

/// Changes who may pull.
pub(crate) async fn put(at: At<'_>, body: Body) -> Result<Response, ApiError> {
    let text = edge::body::read(body, MOST_BYTES).await?;
    let wanted: Document = serde_json::from_slice(&text)
        .map_err(|_| ApiError::wrong_parameter("visibility", "`public` or `private`"))?;
    let public = wanted.visibility == Visibility::Public;
    repository::publicize(at.cloud, &at.visitor, &at.name, public).await?;
    Ok(answer(public))
}

fn answer(public: bool) -> Response {
    let visibility = Visibility::from(public);
    Json(Document { visibility }).into_response()
}

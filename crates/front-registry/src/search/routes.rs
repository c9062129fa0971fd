//! `/v1/search`, and `/v1/_ping`, which says that there is one.

use actions::Cloud;
use actions::registry::catalogue;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use edge::observe::RequestId;
use http::{HeaderName, HeaderValue};

use super::wire::Document;
use crate::auth;
use crate::error::ApiError;
use crate::query::Query;

/// What is found unless more is asked for, and at most.
const USUAL: usize = 25;
const MOST: usize = 100;
/// That users and passwords are asked here, not elsewhere.
const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");

/// That there is something to search.
pub(crate) async fn ping() -> Response {
    let mut response = Json(true).into_response();
    response
        .headers_mut()
        .insert(STANDALONE, HeaderValue::from_static("true"));
    response
}

/// The repositories that the visitor may pull from and whose name has the text in it.
pub(crate) async fn search(
    State(cloud): State<Cloud>,
    request: Request,
) -> Result<Response, ApiError> {
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.0.clone());
    let visitor = auth::visitor(&cloud, request.headers(), request_id).await?;
    let query = Query::parse(request.uri());
    let text = query.get("q").unwrap_or_default();
    let most = query.number("n")?.unwrap_or(USUAL).min(MOST);
    let found = catalogue::search(&cloud, &visitor, text);
    Ok(Json(Document::new(text, found, most)).into_response())
}

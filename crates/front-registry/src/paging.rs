//! Lists in pages: the address of the next one, in a `Link` header.
//!
//! Source: OCI Distribution Specification v1.1, "Listing Tags".

use actions::registry::tag::Names;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::error::ApiError;
use crate::query::Query;

/// The names that a page begins after, and how many are on it.
pub(crate) fn wanted(query: &Query) -> Result<(Option<&str>, Option<usize>), ApiError> {
    Ok((query.get("last"), query.number("n")?))
}

/// A page of names as `body`, with the address of the next one below `path` where there is one.
pub(crate) fn answer(
    path: &str,
    most: Option<usize>,
    page: &Names,
    body: impl Serialize,
) -> Response {
    let mut response = Json(body).into_response();
    if let (true, Some(last), Some(most)) = (page.has_more, page.names.last(), most) {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        let link = format!("<{path}?n={most}&last={last}>; rel=\"next\"");
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    response
}

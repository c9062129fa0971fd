//! `/v2/_catalog`, as Docker's registry has it.

use actions::Cloud;
use actions::registry::{Visitor, catalogue};
use axum::response::Response;
use serde_json::json;

use crate::error::ApiError;
use crate::paging;
use crate::query::Query;

/// The repositories that the visitor may pull from, in pages where the client wants them.
pub(crate) fn list(cloud: &Cloud, visitor: &Visitor, query: &Query) -> Result<Response, ApiError> {
    let (last, most) = paging::wanted(query)?;
    let page = catalogue::list(cloud, visitor, last, most)?;
    let body = json!({ "repositories": &page.names });
    Ok(paging::answer("/v2/_catalog", most, &page, body))
}

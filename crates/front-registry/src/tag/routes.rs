//! `/v2/<name>/tags/list`.

use actions::registry::tag;
use axum::response::Response;
use serde_json::json;

use crate::error::ApiError;
use crate::front::At;
use crate::paging;

/// The tags of a repository, in pages where the client wants them.
pub(crate) async fn list(at: &At<'_>) -> Result<Response, ApiError> {
    let (last, most) = paging::wanted(&at.query)?;
    let page = tag::list(at.cloud, &at.visitor, &at.name, last, most).await?;
    let path = format!("/v2/{}/tags/list", at.name);
    let body = json!({ "name": at.name.to_string(), "tags": &page.names });
    Ok(paging::answer(&path, most, &page, body))
}

//! `/v2/<name>/referrers/<digest>`.

use actions::registry::{RegistryError, referrer};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use model::digest::ContentDigest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::wire::{INDEX, Index};
use crate::error::ApiError;
use crate::front::At;

/// Which filters were heeded.
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Descriptors on one page; clients read no larger index than a manifest may be.
const MOST: usize = 1000;

/// What is said about a manifest, of one kind where the client wants that.
pub(crate) fn list(at: &At<'_>, digest: &str) -> Result<Response, ApiError> {
    let digest: ContentDigest = digest.parse().map_err(RegistryError::from)?;
    let kind = at.query.get("artifactType").filter(|kind| !kind.is_empty());
    let last = at.query.get("last");
    let mut found = referrer::list(at.cloud, &at.visitor, &at.name, &digest, kind)?;
    found.retain(|manifest| last.is_none_or(|last| manifest.digest.as_str() > last));
    let has_more = found.len() > MOST;
    found.truncate(MOST);
    let index = Index::of(found.iter().map(|manifest| &**manifest));
    let mut response = Json(index).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(INDEX));
    if kind.is_some() {
        headers.insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = found.last().filter(|_| has_more) {
        let kind = kind.map_or_else(String::new, |kind| {
            format!(
                "&artifactType={}",
                utf8_percent_encode(kind, NON_ALPHANUMERIC)
            )
        });
        let link = format!(
            "</v2/{}/referrers/{digest}?last={}{kind}>; rel=\"next\"",
            at.name, last.digest
        );
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.insert(header::LINK, link);
        }
    }
    Ok(response)
}

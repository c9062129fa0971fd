//! `/v2/<name>/blobs/<digest>`.

use actions::registry::blob::{self, Data};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use model::digest::ContentDigest;

use super::range::Range;
use crate::error::ApiError;
use crate::front::At;

/// What some content is.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// What a digest names never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("max-age=31536000");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Whether a blob is there.
pub(crate) async fn head(at: &At<'_>, digest: &str) -> Result<Response, ApiError> {
    let digest: ContentDigest = digest
        .parse()
        .map_err(actions::registry::RegistryError::from)?;
    let size_bytes = blob::size_bytes(at.cloud, &at.visitor, &at.name, &digest).await?;
    Ok(with_head(
        &digest,
        size_bytes,
        Body::empty().into_response(),
    ))
}

/// A blob, or a part of it.
pub(crate) async fn get(at: At<'_>, digest: &str) -> Result<Response, ApiError> {
    let digest: ContentDigest = digest
        .parse()
        .map_err(actions::registry::RegistryError::from)?;
    let found = blob::get(at.cloud, &at.visitor, &at.name, &digest).await?;
    let is_known = at
        .headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| *known == *tag(&digest));
    if is_known {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let range = at
        .headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let whole = found.size_bytes;
    match Range::read(range, whole) {
        Range::Outside => Err(ApiError::outside(whole)),
        Range::Whole => {
            let body = part(found.data, 0, whole);
            Ok(with_head(&digest, whole, body.into_response()))
        }
        Range::Part { offset, length } => {
            let body = part(found.data, offset, length);
            let mut response = with_head(&digest, length, body.into_response());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {offset}-{}/{whole}", offset + length - 1);
            if let Ok(range) = HeaderValue::from_str(&range) {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            Ok(response)
        }
    }
}

/// Removes a blob.
pub(crate) async fn delete(at: &At<'_>, digest: &str) -> Result<Response, ApiError> {
    let digest: ContentDigest = digest
        .parse()
        .map_err(actions::registry::RegistryError::from)?;
    blob::delete(at.cloud, &at.visitor, &at.name, &digest).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// A part of a blob, which may be still coming.
fn part(data: Data, offset: u64, length: u64) -> Body {
    match data {
        Data::Kept(file) => edge::body::from_file(file, offset, length),
        Data::Arriving(blob) => Body::from_stream(blob.part(offset, length)),
    }
}

/// The entity tag of a digest.
fn tag(digest: &ContentDigest) -> String {
    format!("\"{digest}\"")
}

fn with_head(digest: &ContentDigest, length: u64, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, OCTETS);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, BYTES);
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    if let (Ok(digest), Ok(tag)) = (
        HeaderValue::from_str(digest.as_str()),
        HeaderValue::from_str(&tag(digest)),
    ) {
        headers.insert(CONTENT_DIGEST, digest);
        headers.insert(header::ETAG, tag);
    }
    response
}

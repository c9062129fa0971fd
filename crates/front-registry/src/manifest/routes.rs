//! `/v2/<name>/manifests/<tag or digest>`.

use actions::registry::manifest::{self, Facts, MOST_BYTES, Reference};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::accept;
use crate::blob::routes::CONTENT_DIGEST;
use crate::error::ApiError;
use crate::front::At;

/// That the subject of a manifest was seen.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that a manifest pushed by digest was given.
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// What there is to know of a manifest.
pub(crate) async fn head(at: &At<'_>, reference: &str) -> Result<Response, ApiError> {
    let facts = find(at, reference).await?;
    Ok(with_head(&facts, Body::empty().into_response()))
}

/// A manifest.
pub(crate) async fn get(at: At<'_>, reference: &str) -> Result<Response, ApiError> {
    let facts = find(&at, reference).await?;
    let text = manifest::read(at.cloud, &facts).await?;
    Ok(with_head(&facts, text.into_response()))
}

async fn find(at: &At<'_>, reference: &str) -> Result<Facts, ApiError> {
    let reference: Reference = reference.parse()?;
    let facts = manifest::facts(at.cloud, &at.visitor, &at.name, &reference).await?;
    if accept::takes(&at.headers, &facts.media_type) {
        Ok(facts)
    } else {
        Err(ApiError::not_acceptable(&facts.media_type))
    }
}

/// Pushes a manifest; by digest, `tag` parameters name it too.
pub(crate) async fn put(at: At<'_>, reference: &str, body: Body) -> Result<Response, ApiError> {
    let reference: Reference = reference.parse()?;
    let text = edge::body::read(body, MOST_BYTES).await?;
    let media_type = at
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let tags: Vec<String> = match reference {
        Reference::Digest(_) => at.query.all("tag").map(str::to_owned).collect(),
        Reference::Tag(_) => Vec::new(),
    };
    let pushed = manifest::push(
        at.cloud,
        &at.visitor,
        &at.name,
        &reference,
        media_type,
        text,
        tags.clone(),
    )
    .await?;
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    let location = format!("/v2/{}/manifests/{}", at.name, pushed.digest);
    let own = [
        (header::LOCATION, location),
        (CONTENT_DIGEST, pushed.digest.to_string()),
    ];
    let subject = pushed.subject.map(|subject| (SUBJECT, subject.to_string()));
    let tags = tags.into_iter().map(|tag| (TAG, tag));
    for (name, value) in own.into_iter().chain(subject).chain(tags) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(name, value);
        }
    }
    Ok(response)
}

/// Deletes a tag, or a manifest with its tags.
pub(crate) async fn delete(at: &At<'_>, reference: &str) -> Result<Response, ApiError> {
    let reference: Reference = reference.parse()?;
    manifest::delete(at.cloud, &at.visitor, &at.name, &reference).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn with_head(facts: &Facts, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, facts.size_bytes.into());
    let digest = facts.digest.to_string();
    for (name, value) in [
        (header::CONTENT_TYPE, facts.media_type.clone()),
        (header::ETAG, format!("\"{digest}\"")),
        (CONTENT_DIGEST, digest),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

//! `/v2/<name>/blobs/uploads/` and `/v2/<name>/blobs/uploads/<id>`.

use actions::registry::upload::{self, Progress};
use actions::registry::{RegistryError, RepositoryName, blob};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use model::Id;
use model::digest::{Algorithm, ContentDigest};

use super::piece;
use crate::blob::routes::CONTENT_DIGEST;
use crate::error::ApiError;
use crate::front::At;

/// The upload again, beside its address.
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Begins an upload; with `digest` it is the whole, and with `mount` it may be there already.
pub(crate) async fn begin(at: At<'_>, body: Body) -> Result<Response, ApiError> {
    if let Some(digest) = at.query.get("mount") {
        let digest = parse(digest)?;
        let from = at.query.get("from").map(str::parse::<RepositoryName>);
        // One that cannot be named has nothing to mount.
        let is_mounted = match from {
            Some(Err(_)) => false,
            Some(Ok(from)) => mount(&at, &digest, Some(&from)).await?,
            None => mount(&at, &digest, None).await?,
        };
        if is_mounted {
            return Ok(finished(&at, &digest));
        }
    } else if let Some(digest) = at.query.get("digest") {
        let digest = parse(digest)?;
        let data = edge::body::reader(body);
        upload::whole(at.cloud, &at.visitor, &at.name, &digest, data).await?;
        return Ok(finished(&at, &digest));
    }
    if let Some(algorithm) = at.query.get("digest-algorithm") {
        algorithm
            .parse::<Algorithm>()
            .map_err(RegistryError::from)?;
    }
    let progress = upload::begin(at.cloud, &at.visitor, &at.name)?;
    Ok(under_way(&at, StatusCode::ACCEPTED, progress))
}

async fn mount(
    at: &At<'_>,
    digest: &ContentDigest,
    from: Option<&RepositoryName>,
) -> Result<bool, RegistryError> {
    blob::mount(at.cloud, &at.visitor, &at.name, digest, from).await
}

/// How far an upload is.
pub(crate) fn status(at: &At<'_>, id: &str) -> Result<Response, ApiError> {
    let progress = upload::status(at.cloud, &at.visitor, &at.name, parse_id(id)?)?;
    Ok(under_way(at, StatusCode::NO_CONTENT, progress))
}

/// Adds a piece.
pub(crate) async fn append(at: At<'_>, id: &str, body: Body) -> Result<Response, ApiError> {
    let id = parse_id(id)?;
    let piece = piece::read(&at.headers)?;
    let data = edge::body::reader(body);
    match upload::append(at.cloud, &at.visitor, &at.name, id, piece, data).await {
        Ok(progress) => Ok(under_way(&at, StatusCode::ACCEPTED, progress)),
        Err(error) => Err(located(&at, id, error)),
    }
}

/// Adds the last piece, and says what all of it is.
pub(crate) async fn finish(at: At<'_>, id: &str, body: Body) -> Result<Response, ApiError> {
    let id = parse_id(id)?;
    let digest = at
        .query
        .get("digest")
        .ok_or_else(|| ApiError::wrong_parameter("digest", "given, for the upload to end"))?;
    let digest = parse(digest)?;
    let piece = piece::read(&at.headers)?;
    let data = edge::body::reader(body);
    upload::finish(at.cloud, &at.visitor, &at.name, id, &digest, piece, data)
        .await
        .map_err(|error| located(&at, id, error))?;
    Ok(finished(&at, &digest))
}

/// Ends an upload.
pub(crate) fn cancel(at: &At<'_>, id: &str) -> Result<Response, ApiError> {
    upload::cancel(at.cloud, &at.visitor, &at.name, parse_id(id)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn parse(digest: &str) -> Result<ContentDigest, RegistryError> {
    Ok(digest.parse::<ContentDigest>()?)
}

/// What is no identity is no upload's.
fn parse_id(id: &str) -> Result<Id, RegistryError> {
    id.parse().map_err(|_| RegistryError::UploadUnknown)
}

fn location(at: &At<'_>, id: Id) -> String {
    format!("/v2/{}/blobs/uploads/{id}", at.name)
}

/// The bytes that have come, as `0-<last>`; nothing looks like one byte, as everybody writes it.
fn range(has_bytes: u64) -> String {
    format!("0-{}", has_bytes.saturating_sub(1))
}

fn under_way(at: &At<'_>, status: StatusCode, progress: Progress) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::LOCATION, location(at, progress.id)),
        (header::RANGE, range(progress.has_bytes)),
        (UPLOAD_ID, progress.id.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// An error after which the upload may go on says how far it is.
fn located(at: &At<'_>, id: Id, error: RegistryError) -> ApiError {
    let has_bytes = match &error {
        RegistryError::UploadOutOfOrder { has_bytes, .. } => Some(*has_bytes),
        _ => None,
    };
    let error = ApiError::from(error);
    match has_bytes {
        Some(has_bytes) => error
            .with_header(header::LOCATION, &location(at, id))
            .with_header(header::RANGE, &range(has_bytes)),
        None => error,
    }
}

fn finished(at: &At<'_>, digest: &ContentDigest) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    let location = format!("/v2/{}/blobs/{digest}", at.name);
    if let (Ok(location), Ok(digest)) = (
        HeaderValue::from_str(&location),
        HeaderValue::from_str(digest.as_str()),
    ) {
        headers.insert(header::LOCATION, location);
        headers.insert(CONTENT_DIGEST, digest);
    }
    response
}

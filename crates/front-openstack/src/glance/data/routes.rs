//! Paths of the data of images.

use actions::nodes::Archive;
use actions::registered_image::{self as image, Download};
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::{HeaderName, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::translate::{self, Part};
use crate::front::At;
use crate::glance::STORE;
use crate::glance::answer::path_id;
use crate::glance::error::ApiError;
use crate::route::Route;

/// The one type that data is sent and answered in.
const BYTES: &str = "application/octet-stream";
/// MD5 of the data, in hexadecimal digits as Glance writes it.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// Into which store data is to go.
const INTO_STORE: &str = "x-image-meta-store";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2/images/{id}/file", "uploadImageData", put(upload)),
        Route::new("/v2/images/{id}/file", "downloadImageData", get(download)),
        Route::new("/v2/images/{id}/stage", "stageImageData", put(stage)),
    ]
}

async fn upload(at: At, Path(id): Path<String>, request: Request) -> Result<StatusCode, ApiError> {
    let id = path_id("image", &id)?;
    image::get(&at.cloud, &at.caller, id)?;
    let data = data(&at, request)?;
    // Now that it was there, not to be found is to be gone.
    let uploaded = image::upload(&at.cloud, &at.caller, id, data).await;
    uploaded.map_err(|error| ApiError::from(error).gone())?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stage(at: At, Path(id): Path<String>, request: Request) -> Result<StatusCode, ApiError> {
    let id = path_id("image", &id)?;
    image::get(&at.cloud, &at.caller, id)?;
    let data = data(&at, request)?;
    let staged = image::stage(&at.cloud, &at.caller, id, data).await;
    staged.map_err(|error| ApiError::from(error).gone())?;
    Ok(StatusCode::NO_CONTENT)
}

/// The data that is sent.
fn data(at: &At, request: Request) -> Result<Archive, ApiError> {
    let text = |name: &str| at.headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE.as_str()).unwrap_or("None");
    if kind != BYTES {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Invalid content type {kind}"),
        ));
    }
    match text(INTO_STORE) {
        None | Some(STORE) => {}
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "Unknown scheme '{other}' found in URI"
            )));
        }
    }
    Ok(Box::new(edge::body::reader(request.into_body())))
}

async fn download(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = path_id("image", &id)?;
    let kind = (header::CONTENT_TYPE, BYTES.to_owned());
    match image::download(&at.cloud, &at.caller, id)? {
        Download::Nothing => Ok(StatusCode::NO_CONTENT.into_response()),
        Download::Made(archive) => {
            let body = edge::body::from_reader(archive);
            Ok(([kind], body).into_response())
        }
        Download::File(file, about) => {
            let range = translate::range(&at.headers, about.size_bytes)?;
            let Some(part) = range else {
                let headers = [
                    kind,
                    (CONTENT_MD5, about.md5),
                    (header::CONTENT_LENGTH, about.size_bytes.to_string()),
                ];
                let body = edge::body::from_reader(tokio::fs::File::from_std(file));
                return Ok((headers, body).into_response());
            };
            let headers = [
                kind,
                (header::CONTENT_LENGTH, part.length().to_string()),
                (header::CONTENT_RANGE, part.text(about.size_bytes)),
            ];
            let body = cut(file, part).await?;
            Ok((StatusCode::PARTIAL_CONTENT, headers, body).into_response())
        }
    }
}

/// A part of a file.
async fn cut(file: std::fs::File, part: Part) -> Result<Body, ApiError> {
    let mut file = tokio::fs::File::from_std(file);
    let sought = file.seek(std::io::SeekFrom::Start(part.first)).await;
    sought.map_err(|error| {
        tracing::error!(%error, "the data of an image cannot be read");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The data of the image cannot be read.",
        )
    })?;
    Ok(edge::body::from_reader(file.take(part.length())))
}

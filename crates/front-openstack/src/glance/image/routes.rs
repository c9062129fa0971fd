//! Paths of images, and of forbidding to use them.

use actions::registered_image as image;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use http::{HeaderName, StatusCode, header};

use super::{filter, patch as json_patch, translate};
use crate::front::At;
use crate::glance::answer::{self, path_id};
use crate::glance::error::ApiError;
use crate::glance::{Body, IMPORT_METHODS, STORE};
use crate::route::Route;

/// How a new image can be filled beside by an upload.
const METHODS: HeaderName = HeaderName::from_static("openstack-image-import-methods");
/// Where its data can be kept.
const STORES: HeaderName = HeaderName::from_static("openstack-image-store-ids");

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2/images", "listImages", get(list)),
        Route::new("/v2/images", "createImage", post(create)),
        Route::new("/v2/images/{id}", "showImage", get(show)),
        Route::new("/v2/images/{id}", "updateImage", patch(update)),
        Route::new("/v2/images/{id}", "deleteImage", delete(remove)),
        Route::new(
            "/v2/images/{id}/actions/deactivate",
            "deactivateImage",
            post(deactivate),
        ),
        Route::new(
            "/v2/images/{id}/actions/reactivate",
            "reactivateImage",
            post(reactivate),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let wanted = filter::Wanted::of(&at.query)?;
    let mut images = image::list(&at.cloud, &at.caller)?;
    images.retain(|image| wanted.fits(&at.caller, image));
    wanted.sort(&mut images);
    let objects = images.iter().map(|image| translate::shown(image)).collect();
    answer::page(&at, "images", objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let new = translate::new(body.0)?;
    let made = image::create(&at.cloud, &at.caller, new).await?;
    let headers = [
        (header::LOCATION, format!("/v2/images/{}", made.meta.id)),
        (METHODS, IMPORT_METHODS.join(",")),
        (STORES, STORE.to_owned()),
    ];
    let body = Json(translate::shown(&made));
    Ok((StatusCode::CREATED, headers, body).into_response())
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = image::get(&at.cloud, &at.caller, path_id("image", &id)?)?;
    Ok(Json(translate::shown(&found)).into_response())
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id("image", &id)?;
    let kind = at
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let edits = json_patch::edits(kind, body.0)?;
    let changed = image::update(&at.cloud, &at.caller, id, &edits).await?;
    Ok(Json(translate::shown(&changed)).into_response())
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = path_id("image", &id)?;
    image::remove(&at.cloud, &at.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn deactivate(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = path_id("image", &id)?;
    image::deactivate(&at.cloud, &at.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reactivate(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = path_id("image", &id)?;
    image::reactivate(&at.cloud, &at.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

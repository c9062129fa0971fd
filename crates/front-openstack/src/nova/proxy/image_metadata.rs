//! The properties of images, as Nova shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::registered_image::{self as image, Edit};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::registered_image::RegisteredImage;
use serde_json::json;

use super::image::find;
use super::{LAST_WITH_METADATA, Until};
use crate::front::At;
use crate::glance::image::property;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::server_metadata;
use crate::route::Route;

type Here = Until<LAST_WITH_METADATA>;
/// Properties by name.
type Words = BTreeMap<String, String>;

/// Of all of an image's properties.
const ALL: &str = "/v2.1/images/{id}/metadata";
/// Of one.
const ONE: &str = "/v2.1/images/{id}/metadata/{key}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listImageMetadata", get(list)),
        Route::new(ALL, "createImageMetadata", post(add)),
        Route::new(ALL, "replaceImageMetadata", put(replace)),
        Route::new(ONE, "showImageMetadata", get(show)),
        Route::new(ONE, "updateImageMetadata", put(update)),
        Route::new(ONE, "deleteImageMetadata", delete(remove)),
    ]
}

fn read(body: Body, name: &str) -> Result<Words, ApiError> {
    let mut document = Fields::document(body.0)?;
    let words = document.take(name);
    let words = document.required(name, words)?;
    document.done()?;
    server_metadata::translate::read(words)
}

/// Sets properties as Glance would, and takes others away.
async fn change(
    at: &At,
    image: &RegisteredImage,
    set: &Words,
    remove: impl Iterator<Item = &String>,
) -> Result<Arc<RegisteredImage>, ApiError> {
    let set = set.iter().map(|(name, value)| {
        property(name, value).map_err(|refused| ApiError::invalid(refused.to_string()))
    });
    let mut edits: Vec<Edit> = set.collect::<Result<_, _>>()?;
    edits.extend(remove.cloned().map(Edit::RemoveProperty));
    let changed = image::update(&at.cloud, &at.caller, image.meta.id, &edits).await;
    changed.map_err(super::retold)
}

fn all(image: &RegisteredImage) -> Response {
    Json(json!({ "metadata": image.spec.properties })).into_response()
}

async fn list(at: Here, Path(id): Path<String>) -> Result<Response, ApiError> {
    find(&at, &id).map(|image| all(&image))
}

async fn add(at: Here, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (image, more) = (find(&at, &id)?, read(body, "metadata")?);
    let changed = change(&at, &image, &more, std::iter::empty()).await?;
    Ok(all(&changed))
}

async fn replace(at: Here, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (image, new) = (find(&at, &id)?, read(body, "metadata")?);
    let names = image.spec.properties.keys();
    let left_out = names.filter(|name| !new.contains_key(*name));
    let changed = change(&at, &image, &new, left_out).await?;
    Ok(all(&changed))
}

async fn show(at: Here, Path((id, key)): Path<(String, String)>) -> Result<Response, ApiError> {
    let image = find(&at, &id)?;
    let value = image.spec.properties.get(&key);
    let value = value.ok_or_else(|| ApiError::not_found("The resource could not be found."))?;
    Ok(Json(json!({ "meta": { key: value } })).into_response())
}

async fn update(
    at: Here,
    Path((id, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let meta = read(body, "meta")?;
    if meta.len() != 1 || !meta.contains_key(&key) {
        return Err(ApiError::invalid("Request body and URI mismatch"));
    }
    let image = find(&at, &id)?;
    change(&at, &image, &meta, std::iter::empty()).await?;
    Ok(Json(json!({ "meta": meta })).into_response())
}

async fn remove(at: Here, Path((id, key)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let image = find(&at, &id)?;
    if !image.spec.properties.contains_key(&key) {
        return Err(ApiError::not_found("Invalid metadata key"));
    }
    change(&at, &image, &Words::new(), std::iter::once(&key)).await?;
    Ok(StatusCode::NO_CONTENT)
}

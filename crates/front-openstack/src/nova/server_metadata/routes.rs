//! Paths of servers' metadata.

use std::collections::BTreeMap;

use actions::{ActionError, ErrorKind, server};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use serde_json::json;

use super::translate;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::server::routes::path_id;
use crate::route::Route;

/// Of all of a server's metadata.
const ALL: &str = "/v2.1/servers/{id}/metadata";
/// Of one word.
const ONE: &str = "/v2.1/servers/{id}/metadata/{key}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listServerMetadata", get(list)),
        Route::new(ALL, "createServerMetadata", post(add)),
        Route::new(ALL, "replaceServerMetadata", put(replace)),
        Route::new(ONE, "showServerMetadata", get(show)),
        Route::new(ONE, "updateServerMetadata", put(update)),
        Route::new(ONE, "deleteServerMetadata", delete(remove)),
    ]
}

fn all(metadata: &BTreeMap<String, String>) -> Response {
    Json(json!({ "metadata": metadata })).into_response()
}

fn missing() -> ActionError {
    ActionError::new(ErrorKind::NotFound, "Metadata item was not found")
}

fn read(body: Body) -> Result<BTreeMap<String, String>, ApiError> {
    let mut document = Fields::document(body.0)?;
    let metadata = document.take("metadata");
    let metadata = document.required("metadata", metadata)?;
    document.done()?;
    translate::read(metadata)
}

async fn list(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = server::get(&at.cloud, &at.caller, path_id(&id)?)?;
    Ok(all(&view.server.spec.metadata))
}

async fn add(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (id, more) = (path_id(&id)?, read(body)?);
    let change = |metadata: &mut BTreeMap<String, String>| {
        metadata.extend(more.clone());
        Ok(())
    };
    let metadata = server::set_metadata(&at.cloud, &at.caller, id, change).await?;
    Ok(all(&metadata))
}

async fn replace(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (id, new) = (path_id(&id)?, read(body)?);
    let change = |metadata: &mut BTreeMap<String, String>| {
        metadata.clone_from(&new);
        Ok(())
    };
    let metadata = server::set_metadata(&at.cloud, &at.caller, id, change).await?;
    Ok(all(&metadata))
}

async fn show(at: At, Path((id, key)): Path<(String, String)>) -> Result<Response, ApiError> {
    let view = server::get(&at.cloud, &at.caller, path_id(&id)?)?;
    let value = view.server.spec.metadata.get(&key).ok_or_else(missing)?;
    Ok(Json(json!({ "meta": { key: value } })).into_response())
}

async fn update(
    at: At,
    Path((id, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let id = path_id(&id)?;
    let mut document = Fields::document(body.0)?;
    let meta = document.take("meta");
    let meta = document.required("meta", meta)?;
    document.done()?;
    let words = translate::read(meta)?;
    let value = words
        .get(&key)
        .filter(|_| words.len() == 1)
        .ok_or_else(|| ApiError::invalid("Request body and URI mismatch"))?;
    let change = |metadata: &mut BTreeMap<String, String>| {
        metadata.insert(key.clone(), value.clone());
        Ok(())
    };
    server::set_metadata(&at.cloud, &at.caller, id, change).await?;
    Ok(Json(json!({ "meta": words })).into_response())
}

async fn remove(at: At, Path((id, key)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let change = |metadata: &mut BTreeMap<String, String>| {
        metadata.remove(&key).map(drop).ok_or_else(missing)
    };
    server::set_metadata(&at.cloud, &at.caller, path_id(&id)?, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

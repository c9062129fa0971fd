//! Paths of tags.

use actions::registered_image::{self as image, Edit};
use axum::extract::Path;
use axum::routing::{delete, put};
use http::StatusCode;

use crate::front::At;
use crate::glance::answer::path_id;
use crate::glance::error::ApiError;
use crate::route::Route;

/// Characters of the longest tag.
const LONGEST: usize = 255;

pub(crate) fn routes() -> Vec<Route> {
    let path = "/v2/images/{id}/tags/{tag}";
    vec![
        Route::new(path, "addImageTag", put(add)),
        Route::new(path, "deleteImageTag", delete(remove)),
    ]
}

async fn add(at: At, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    if tag.chars().count() > LONGEST {
        return Err(ApiError::invalid(format!(
            "Provided object does not match schema 'image': tags: a tag has at most {LONGEST} characters"
        )));
    }
    change(&at, &id, Edit::AddTag(tag)).await
}

async fn remove(at: At, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    change(&at, &id, Edit::RemoveTag(tag)).await
}

async fn change(at: &At, id: &str, edit: Edit) -> Result<StatusCode, ApiError> {
    let id = path_id("image", id)?;
    image::update(&at.cloud, &at.caller, id, &[edit]).await?;
    Ok(StatusCode::NO_CONTENT)
}

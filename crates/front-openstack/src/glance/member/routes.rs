//! Paths of members.

use actions::registered_image::member;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::{Id, ProjectId};
use serde_json::json;

use super::translate;
use crate::front::At;
use crate::glance::Body;
use crate::glance::answer::path_id;
use crate::glance::error::ApiError;
use crate::id;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    let (all, one) = (
        "/v2/images/{id}/members",
        "/v2/images/{id}/members/{member}",
    );
    vec![
        Route::new(all, "listImageMembers", get(list)),
        Route::new(all, "createImageMember", post(create)),
        Route::new(one, "showImageMember", get(show)),
        Route::new(one, "updateImageMember", put(update)),
        Route::new(one, "deleteImageMember", delete(remove)),
    ]
}

async fn list(at: At, Path(image): Path<String>) -> Result<Response, ApiError> {
    let image = path_id("image", &image)?;
    let found = member::list(&at.cloud, &at.caller, image)?;
    let members: Vec<_> = found
        .iter()
        .map(|(project, member)| translate::shown(image, *project, member))
        .collect();
    let body = json!({ "members": members, "schema": "/v2/schemas/members" });
    Ok(Json(body).into_response())
}

async fn create(at: At, Path(image): Path<String>, body: Body) -> Result<Response, ApiError> {
    let image = path_id("image", &image)?;
    let project = translate::member(&body.0)?;
    let made = member::create(&at.cloud, &at.caller, image, project).await?;
    Ok(Json(translate::shown(image, project, &made)).into_response())
}

async fn show(
    at: At,
    Path((image, project)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (image, project) = ids(&image, &project)?;
    let found = member::show(&at.cloud, &at.caller, image, project)?;
    Ok(Json(translate::shown(image, project, &found)).into_response())
}

async fn update(
    at: At,
    Path((image, project)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let (image, project) = ids(&image, &project)?;
    let consent = translate::consent(&body.0)?;
    let changed = member::update(&at.cloud, &at.caller, image, project, consent).await?;
    Ok(Json(translate::shown(image, project, &changed)).into_response())
}

async fn remove(
    at: At,
    Path((image, project)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (image, project) = ids(&image, &project)?;
    member::remove(&at.cloud, &at.caller, image, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An image and a project, of a path.
fn ids(image: &str, project: &str) -> Result<(Id, ProjectId), ApiError> {
    let image = path_id("image", image)?;
    let member = id::parse(project).map(ProjectId);
    let member = member.ok_or_else(|| {
        ApiError::not_found(format!(
            "{project} not found in the member list of the image {image}."
        ))
    })?;
    Ok((image, member))
}

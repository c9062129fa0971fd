//! Paths of tasks.

use actions::registered_image::import;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::image_task::{ImageTask, TaskState};
use serde_json::{Value, json};

use crate::front::At;
use crate::glance::answer::{self, Object, path_id};
use crate::glance::error::ApiError;
use crate::route::Route;
use crate::{id, time};

/// The type of a task that the import of an image began.
const IMPORT: &str = "api_image_import";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2/images/{id}/tasks", "showImageTasks", get(of_image)),
        Route::new("/v2/tasks", "listTasks", get(list)),
        Route::new("/v2/tasks", "createTask", post(create)),
        Route::new("/v2/tasks/{id}", "showTask", get(show)),
        Route::new("/v2/tasks/{id}", "deleteTask", delete(remove)),
    ]
}

/// A task as lists have it.
fn listed(task: &ImageTask) -> Object {
    let id = task.meta.id;
    let updated = task.meta.updated_at.unwrap_or(task.meta.created_at);
    let mut object: Object = [
        ("id", json!(id.to_string())),
        ("type", json!(IMPORT)),
        ("status", json!(task.state.as_str())),
        ("owner", json!(id::show(task.meta.project.0))),
        ("created_at", json!(time::seconds(task.meta.created_at))),
        ("updated_at", json!(time::seconds(updated))),
        ("self", json!(format!("/v2/tasks/{id}"))),
        ("schema", json!("/v2/schemas/task")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if let Some(at) = task.expires_at {
        object.insert("expires_at".to_owned(), json!(time::seconds(at)));
    }
    object
}

/// A task as it is shown by itself.
fn shown(task: &ImageTask) -> Object {
    let result = match task.state {
        TaskState::Success => json!({ "image_id": task.image.to_string() }),
        TaskState::Processing | TaskState::Failure => Value::Null,
    };
    let mut object = listed(task);
    object.extend(
        [
            ("input", task.input.clone()),
            ("result", result),
            ("message", json!(task.message)),
            ("image_id", json!(task.image.to_string())),
            ("request_id", json!(task.request_id)),
            ("user_id", json!(id::show(task.user))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    object
}

async fn of_image(at: At, Path(image): Path<String>) -> Result<Response, ApiError> {
    let image = path_id("image", &image)?;
    let found = import::of_image(&at.cloud, &at.caller, image)?;
    let tasks: Vec<_> = found.iter().map(|task| shown(task)).collect();
    Ok(Json(json!({ "tasks": tasks })).into_response())
}

async fn list(at: At) -> Result<Response, ApiError> {
    let mut found = import::list(&at.cloud, &at.caller)?;
    if let Some(wanted) = at.query.get("status") {
        if !["pending", "processing", "success", "failure"].contains(&wanted) {
            return Err(ApiError::invalid(format!("Invalid status value: {wanted}")));
        }
        found.retain(|task| task.state.as_str() == wanted);
    }
    if let Some(wanted) = at.query.get("type") {
        found.retain(|_| wanted == IMPORT);
    }
    match at.query.get("sort_dir") {
        None | Some("desc") => {}
        Some("asc") => found.reverse(),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "Invalid sort direction: {other}"
            )));
        }
    }
    answer::page(
        &at,
        "tasks",
        found.iter().map(|task| listed(task)).collect(),
    )
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = import::show(&at.cloud, &at.caller, path_id("task", &id)?)?;
    Ok(Json(shown(&found)).into_response())
}

/// Tasks are begun by importing an image; their old way is deprecated in Glance, too.
async fn create(at: At) -> Result<Response, ApiError> {
    import::list(&at.cloud, &at.caller)?;
    Err(ApiError::invalid(
        "Tasks cannot be created by themselves: import an image, with POST /v2/images/{image_id}/import.",
    ))
}

async fn remove(at: At, Path(_): Path<String>) -> Result<Response, ApiError> {
    import::list(&at.cloud, &at.caller)?;
    Err(ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on their expires_at property.",
    ))
}

//! Paths of groups of servers.

use actions::server_group;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::Id;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::list;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/os-server-groups/{id}";
    vec![
        Route::new("/v2.1/os-server-groups", "listServerGroups", get(list)),
        Route::new("/v2.1/os-server-groups", "createServerGroup", post(create)),
        Route::new(ONE, "showServerGroup", get(show)),
        Route::new(ONE, "deleteServerGroup", delete(remove)),
    ]
}

fn parse(id: &str) -> Result<Id, ApiError> {
    let missing = || ApiError::not_found(format!("Instance group {id} could not be found."));
    id.parse().map_err(|_| missing())
}

async fn list(at: At) -> Result<Response, ApiError> {
    list::check_query(&at, &["all_projects", "limit", "offset"])?;
    let everybodys = at.query.has("all_projects");
    let groups = server_group::list(&at.cloud, &at.caller, everybodys)?;
    let number = |name: &str, default: usize| match at.query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            ApiError::invalid(format!(
                "Invalid input for query parameters {name}. Value: {text}. '{text}' does not match \
                 '^[0-9]*$'"
            ))
        }),
    };
    let (offset, limit) = (number("offset", 0)?, number("limit", usize::MAX)?);
    let shown: Vec<Value> = groups
        .iter()
        .skip(offset)
        .take(limit)
        .map(|group| translate::shown(&at, group))
        .collect();
    Ok(Json(json!({ "server_groups": shown })).into_response())
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let new = translate::new(&at, body.0)?;
    let made = server_group::create(&at.cloud, &at.caller, new).await?;
    Ok(Json(json!({ "server_group": translate::shown(&at, &made) })).into_response())
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = server_group::get(&at.cloud, &at.caller, parse(&id)?)?;
    Ok(Json(json!({ "server_group": translate::shown(&at, &found) })).into_response())
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    server_group::remove(&at.cloud, &at.caller, parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

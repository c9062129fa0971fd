//! Paths of servers' tags.

use std::collections::BTreeSet;

use actions::{ActionError, ErrorKind, server};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::Id;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::list::since;
use crate::nova::server::routes::{href, path_id, set_location};
use crate::route::Route;

/// The microversion that brought tags.
const SINCE: u16 = 26;
/// Of all of a server's tags.
const ALL: &str = "/v2.1/servers/{id}/tags";
/// Of one tag.
const ONE: &str = "/v2.1/servers/{id}/tags/{tag}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listServerTags", get(list)),
        Route::new(ALL, "replaceServerTags", put(replace)),
        Route::new(ALL, "deleteServerTags", delete(clear)),
        Route::new(ONE, "checkServerTag", get(check)),
        Route::new(ONE, "addServerTag", put(add)),
        Route::new(ONE, "deleteServerTag", delete(remove)),
    ]
}

fn missing(id: Id, tag: &str) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Server {id} has no tag '{tag}'"),
    )
}

async fn list(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    since(&at, SINCE)?;
    let view = server::get(&at.cloud, &at.caller, path_id(&id)?)?;
    Ok(Json(json!({ "tags": view.server.spec.tags })).into_response())
}

async fn replace(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    since(&at, SINCE)?;
    let id = path_id(&id)?;
    let mut document = Fields::document(body.0)?;
    let tags = document.list("tags")?;
    let tags = document.required("tags", tags)?;
    document.done()?;
    let new = translate::read(tags)?;
    let change = |tags: &mut BTreeSet<String>| {
        tags.clone_from(&new);
        Ok(())
    };
    let tags = server::set_tags(&at.cloud, &at.caller, id, change).await?;
    Ok(Json(json!({ "tags": tags })).into_response())
}

async fn clear(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    since(&at, SINCE)?;
    let change = |tags: &mut BTreeSet<String>| {
        tags.clear();
        Ok(())
    };
    server::set_tags(&at.cloud, &at.caller, path_id(&id)?, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check(at: At, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    since(&at, SINCE)?;
    let id = path_id(&id)?;
    let view = server::get(&at.cloud, &at.caller, id)?;
    if view.server.spec.tags.contains(&tag) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(missing(id, &tag).into())
}

async fn add(at: At, Path((id, tag)): Path<(String, String)>) -> Result<Response, ApiError> {
    since(&at, SINCE)?;
    let id = path_id(&id)?;
    let tag = translate::tag(Value::from(tag))?;
    let had = server::get(&at.cloud, &at.caller, id)?
        .server
        .spec
        .tags
        .contains(&tag);
    let change = |tags: &mut BTreeSet<String>| {
        tags.insert(tag.clone());
        if tags.len() > translate::MOST {
            let message = format!(
                "The number of tags exceeded the per-server limit {}",
                translate::MOST
            );
            return Err(ActionError::new(ErrorKind::Invalid, message));
        }
        Ok(())
    };
    server::set_tags(&at.cloud, &at.caller, id, change).await?;
    if had {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = StatusCode::CREATED.into_response();
    set_location(&mut response, &format!("{}/tags/{tag}", href(&at, id)));
    Ok(response)
}

async fn remove(at: At, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    since(&at, SINCE)?;
    let id = path_id(&id)?;
    let change = |tags: &mut BTreeSet<String>| {
        if tags.remove(&tag) {
            return Ok(());
        }
        Err(missing(id, &tag))
    };
    server::set_tags(&at.cloud, &at.caller, id, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

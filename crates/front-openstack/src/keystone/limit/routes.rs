//! Paths of limits.

use actions::identity::limit;
use axum::Json as Answer;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use http::StatusCode;
use model::limit::Resource;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::Body;
use crate::keystone::answer;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v3/registered_limits",
            "listRegisteredLimits",
            get(list_registered),
        ),
        Route::new(
            "/v3/registered_limits",
            "createRegisteredLimits",
            post(register),
        ),
        Route::new(
            "/v3/registered_limits/{limit_id}",
            "showRegisteredLimit",
            get(show_registered),
        ),
        Route::new(
            "/v3/registered_limits/{limit_id}",
            "updateRegisteredLimit",
            patch(update_registered),
        ),
        Route::new(
            "/v3/registered_limits/{limit_id}",
            "deleteRegisteredLimit",
            delete(remove_registered),
        ),
        Route::new("/v3/limits", "listLimits", get(list)),
        Route::new("/v3/limits", "createLimits", post(create)),
        Route::new("/v3/limits/model", "showLimitModel", get(model)),
        Route::new("/v3/limits/{limit_id}", "showLimit", get(show)),
        Route::new("/v3/limits/{limit_id}", "updateLimit", patch(update)),
        Route::new("/v3/limits/{limit_id}", "deleteLimit", delete(remove)),
    ]
}

/// Whether a resource fits the filters.
fn fits(at: &At, resource: &Resource) -> bool {
    let wanted = |name: &str| at.query.get(name);
    wanted("service_id").is_none_or(|text| id::parse(text) == Some(resource.service))
        && wanted("region_id").is_none_or(|text| resource.region.as_deref() == Some(text))
        && wanted("resource_name").is_none_or(|text| resource.name == text)
}

async fn list_registered(at: At) -> Result<Response, ApiError> {
    let found = limit::list_registered(&at.cloud, |limit| fits(&at, &limit.resource));
    let shown = found.iter().map(|limit| translate::registered(&at, limit));
    answer::list(
        &at,
        "registered_limits",
        "registered_limits",
        shown.collect(),
    )
}

async fn register(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let new = translate::new_registered(body.0)?;
    let made = limit::register(&at.cloud, &at.caller, new).await?;
    let shown = made.iter().map(|limit| translate::registered(&at, limit));
    let shown = answer::page(
        &at,
        "registered_limits",
        "registered_limits",
        shown.collect(),
    )?;
    Ok((StatusCode::CREATED, Answer(shown)).into_response())
}

async fn show_registered(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = limit::get_registered(&at.cloud, parse("registered limit", &text)?)?;
    Ok(answer::one(
        "registered_limit",
        translate::registered(&at, &found),
    ))
}

async fn update_registered(
    at: At,
    Path(text): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let changes = translate::changes(body.0)?;
    let id = parse("registered limit", &text)?;
    let changed = limit::update_registered(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one(
        "registered_limit",
        translate::registered(&at, &changed),
    ))
}

async fn remove_registered(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    let id = parse("registered limit", &text)?;
    limit::delete_registered(&at.cloud, &at.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(at: At) -> Result<Response, ApiError> {
    let project = at.query.get("project_id").map(id::parse);
    let domain = at.query.get("domain_id").map(id::parse);
    let found = limit::list(&at.cloud, &at.caller, |limit| {
        let owner = Some(limit.meta.project.0);
        fits(&at, &limit.resource)
            && project.is_none_or(|project| !limit.is_domain && project == owner)
            && domain.is_none_or(|domain| limit.is_domain && domain == owner)
    });
    let shown = found.iter().map(|limit| translate::limit(&at, limit));
    answer::list(&at, "limits", "limits", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let new = translate::new_limits(body.0)?;
    let made = limit::create(&at.cloud, &at.caller, new).await?;
    let shown = made.iter().map(|limit| translate::limit(&at, limit));
    let shown = answer::page(&at, "limits", "limits", shown.collect())?;
    Ok((StatusCode::CREATED, Answer(shown)).into_response())
}

/// How limits of projects above and below each other go together: they do not.
async fn model(_at: At) -> Response {
    let model = json!({
        "name": "flat",
        "description": "Limit enforcement and validation does not take project hierarchy into consideration.",
    });
    Answer(json!({ "model": model })).into_response()
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = limit::get(&at.cloud, &at.caller, parse("limit", &text)?)?;
    Ok(answer::one("limit", translate::limit(&at, &found)))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "limit")?;
    let amount = translate::amount(&mut fields, "resource_limit")?;
    let description = fields.nullable("description")?;
    let id = parse("limit", &text)?;
    let changed = limit::update(&at.cloud, &at.caller, id, amount, description).await?;
    Ok(answer::one("limit", translate::limit(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    limit::delete(&at.cloud, &at.caller, parse("limit", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

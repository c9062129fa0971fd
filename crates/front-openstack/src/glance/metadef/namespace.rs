//! Paths of namespaces.

use actions::metadata_namespace as namespace;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;

use super::{translate, wire};
use crate::front::At;
use crate::glance::Body;
use crate::glance::answer::{self, Paged};
use crate::glance::error::ApiError;
use crate::route::Route;

const ALL: &str = translate::NAMESPACES;
const ONE: &str = "/v2/metadefs/namespaces/{namespace}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listMetadefNamespaces", get(list)),
        Route::new(ALL, "createMetadefNamespace", post(create)),
        Route::new(ONE, "showMetadefNamespace", get(show)),
        Route::new(ONE, "updateMetadefNamespace", put(update)),
        Route::new(ONE, "deleteMetadefNamespace", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let mut all = namespace::list(&at.cloud, &at.caller)?;
    match at.query.get("visibility") {
        None => {}
        Some("public") => all.retain(|one| one.spec.public),
        Some("private") => all.retain(|one| !one.spec.public),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "Invalid visibility value: {other}"
            )));
        }
    }
    if let Some(types) = at.query.get("resource_types") {
        let wanted: Vec<&str> = types.split(',').collect();
        all.retain(|one| {
            let mut types = one.spec.resource_types.keys();
            types.any(|name| wanted.contains(&name.as_str()))
        });
    }
    match at.query.get("sort_key").unwrap_or("created_at") {
        // So they are already.
        "created_at" => {}
        "updated_at" => all.sort_by_key(|one| std::cmp::Reverse(one.meta.updated_at)),
        "namespace" => all.sort_by(|a, b| b.meta.name.cmp(&a.meta.name)),
        other => return Err(ApiError::invalid(format!("Invalid sort key: {other}"))),
    }
    match at.query.get("sort_dir").unwrap_or("desc") {
        "desc" => {}
        "asc" => all.reverse(),
        other => {
            return Err(ApiError::invalid(format!(
                "Invalid sort direction: {other}"
            )));
        }
    }
    let items = all.iter().map(|one| translate::brief(one)).collect();
    let paged = Paged {
        noun: "namespaces",
        path: ALL.to_owned(),
        schema: "/v2/schemas/metadefs/namespaces".to_owned(),
        key: "namespace",
    };
    answer::page_of(&at, &paged, items)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let body: wire::Namespace = wire::read("namespace", body.0)?;
    let (header, entries) = (translate::header(&body)?, translate::entries(body)?);
    let made = namespace::create(&at.cloud, &at.caller, header, entries).await?;
    let location = [(http::header::LOCATION, translate::path(&made.meta.name))];
    let shown = Json(translate::whole(&made, None));
    Ok((StatusCode::CREATED, location, shown).into_response())
}

async fn show(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = namespace::get(&at.cloud, &at.caller, &name)?;
    let shown = translate::whole(&found, at.query.get("resource_type"));
    Ok(Json(shown).into_response())
}

async fn update(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    let body: wire::Namespace = wire::read("namespace", body.0)?;
    let header = translate::header(&body)?;
    let changed = namespace::update(&at.cloud, &at.caller, &name, header).await?;
    Ok(Json(translate::brief(&changed)).into_response())
}

async fn remove(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    namespace::remove(&at.cloud, &at.caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

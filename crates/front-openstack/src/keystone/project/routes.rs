//! Paths of projects.

use actions::identity::project;
use axum::Json as Answer;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::error::Error;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/projects", "listProjects", get(list)),
        Route::new("/v3/projects/{project_id}", "showProject", get(show)),
    ]
}

async fn list(at: At) -> Result<Response, Error> {
    let domain = at.query.get("domain_id").and_then(id::parse);
    let name = at.query.get("name");
    let found = project::list(&at.cloud, &at.caller, |project| {
        !project.spec.is_domain
            && domain.is_none_or(|domain| project.domain() == domain)
            && name.is_none_or(|name| project.meta.name == name)
    })?;
    let shown: Vec<Value> = found
        .iter()
        .map(|project| translate::project(&at, project))
        .collect();
    let links = json!({
        "next": null,
        "previous": null,
        "self": format!("{}/identity/v3/projects", at.settings.url),
    });
    Ok(Answer(json!({ "projects": shown, "links": links })).into_response())
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, Error> {
    let id = id::parse(&text).ok_or_else(|| Error::not_found("project", &text))?;
    let found = project::get(&at.cloud, &at.caller, id)?;
    Ok(Answer(json!({ "project": translate::project(&at, &found) })).into_response())
}

//! Paths of usage.

use actions::usage::{self, ServerUse};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::ProjectId;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::nova::list::{self, Page};
use crate::route::Route;

const PATH: &str = "os-simple-tenant-usage";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.1/os-simple-tenant-usage", "listUsage", get(list)),
        Route::new(
            "/v2.1/os-simple-tenant-usage/{project_id}",
            "showUsage",
            get(show),
        ),
    ]
}

/// The page that a client wants of servers; up to 2.39 there is one only.
fn page<T>(
    at: &At,
    path: &str,
    servers: Vec<T>,
    id: impl Fn(&T) -> String,
) -> Result<Page<T>, ApiError> {
    if at.minor >= 40 {
        return list::page(at, path, servers, id);
    }
    Ok(Page {
        items: servers,
        next: None,
    })
}

async fn list(at: At) -> Result<Response, ApiError> {
    list::check_query(&at, &["start", "end", "detailed", "limit", "marker"])?;
    let period = translate::period(&at)?;
    let used = usage::list(&at.cloud, &at.caller, period)?;
    let servers: Vec<(ProjectId, ServerUse)> = used
        .into_iter()
        .flat_map(|(project, servers)| servers.into_iter().map(move |one| (project, one)))
        .collect();
    let page = page(&at, PATH, servers, |(_, server)| server.id.to_string())?;
    let is_detailed = at.query.get("detailed") == Some("1");
    let shown: Vec<Value> = page
        .items
        .chunk_by(|one, next| one.0 == next.0)
        .filter_map(|servers| {
            let (project, _) = servers.first()?;
            let servers = servers.iter().map(|(_, server)| server);
            Some(translate::shown(*project, servers, period, is_detailed))
        })
        .collect();
    let mut body = json!({ "tenant_usages": shown });
    if let Some(next) = page.next {
        body["tenant_usages_links"] = next;
    }
    Ok(Json(body).into_response())
}

async fn show(at: At, Path(wanted): Path<String>) -> Result<Response, ApiError> {
    list::check_query(&at, &["start", "end", "limit", "marker"])?;
    // What is no project's identity has no servers.
    let project = id::parse(&wanted).map(ProjectId);
    let project = project.unwrap_or(ProjectId::SYSTEM);
    let period = translate::period(&at)?;
    let servers = usage::of_project(&at.cloud, &at.caller, project, period)?;
    let path = format!("{PATH}/{wanted}");
    let page = page(&at, &path, servers, |server| server.id.to_string())?;
    let usage = match page.items.as_slice() {
        [] => json!({}),
        servers => translate::shown(project, servers.iter(), period, true),
    };
    let mut body = json!({ "tenant_usage": usage });
    if let Some(next) = page.next {
        body["tenant_usage_links"] = next;
    }
    Ok(Json(body).into_response())
}

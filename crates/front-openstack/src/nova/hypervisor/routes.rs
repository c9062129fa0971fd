//! Paths of hypervisors.

use actions::node::{self, View};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::Id;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::{list, number};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.1/os-hypervisors", "listHypervisors", get(brief)),
        Route::new(
            "/v2.1/os-hypervisors/detail",
            "listHypervisorsDetailed",
            get(detail),
        ),
        Route::new(
            "/v2.1/os-hypervisors/statistics",
            "showHypervisorStatistics",
            get(statistics),
        ),
        Route::new("/v2.1/os-hypervisors/{id}", "showHypervisor", get(show)),
        Route::new(
            "/v2.1/os-hypervisors/{id}/uptime",
            "showHypervisorUptime",
            get(uptime),
        ),
        Route::new(
            "/v2.1/os-hypervisors/{id}/search",
            "searchHypervisors",
            get(search),
        ),
        Route::new(
            "/v2.1/os-hypervisors/{id}/servers",
            "listHypervisorServers",
            get(servers),
        ),
    ]
}

/// A node's identity, or that of a service on it: from 2.53 on a UUID, and before it a number.
pub(in crate::nova) fn id(at: &At, node: Id, service: u8) -> Value {
    let mut bytes = *node.as_bytes();
    bytes[15] ^= service;
    if at.minor >= 53 {
        return json!(Id::from_bytes(bytes).to_string());
    }
    json!(number::of(Id::from_bytes(bytes)))
}

/// An identity as it stands in paths.
pub(in crate::nova) fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The nodes that a client wants, and whether with their servers.
fn wanted(at: &At) -> Result<(Vec<View>, bool), ApiError> {
    let nodes = node::list(&at.cloud, &at.caller)?;
    if at.minor < 53 {
        return Ok((nodes, false));
    }
    let with_servers = at.query.switch("with_servers").unwrap_or(false);
    let Some(pattern) = at.query.get("hypervisor_hostname_pattern") else {
        return Ok((nodes, with_servers));
    };
    if at.query.has("limit") || at.query.has("marker") {
        return Err(ApiError::invalid(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not \
             supported.",
        ));
    }
    Ok((matching(nodes, pattern)?, with_servers))
}

/// The nodes whose names hold a text.
fn matching(mut nodes: Vec<View>, pattern: &str) -> Result<Vec<View>, ApiError> {
    nodes.retain(|view| view.node.meta.name.contains(pattern));
    if nodes.is_empty() {
        return Err(ApiError::not_found(format!(
            "No hypervisor matching '{pattern}' could be found."
        )));
    }
    Ok(nodes)
}

fn many(at: &At, path: &str, is_detailed: bool) -> Result<Response, ApiError> {
    let (nodes, with_servers) = wanted(at)?;
    let page = list::page(at, path, nodes, |view| plain(&id(at, view.node.meta.id, 0)))?;
    let shown: Vec<Value> = page
        .items
        .iter()
        .map(|view| translate::shown(at, view, is_detailed, with_servers))
        .collect();
    let mut body = json!({ "hypervisors": shown });
    if let Some(next) = page.next {
        body["hypervisors_links"] = next;
    }
    Ok(Json(body).into_response())
}

async fn brief(at: At) -> Result<Response, ApiError> {
    many(&at, "os-hypervisors", false)
}

async fn detail(at: At) -> Result<Response, ApiError> {
    many(&at, "os-hypervisors/detail", true)
}

async fn statistics(at: At) -> Result<Response, ApiError> {
    list::within(&at, 1, 87)?;
    let nodes = node::list(&at.cloud, &at.caller)?;
    let statistics = translate::statistics(&nodes);
    Ok(Json(json!({ "hypervisor_statistics": statistics })).into_response())
}

/// The node that a path names.
fn find(at: &At, wanted: &str) -> Result<View, ApiError> {
    if at.minor >= 53 && wanted.parse::<Id>().is_err() {
        return Err(ApiError::invalid(format!("Invalid uuid {wanted}")));
    }
    let is_it = |view: &View| plain(&id(at, view.node.meta.id, 0)) == wanted;
    let nodes = node::list(&at.cloud, &at.caller)?;
    nodes.into_iter().find(is_it).ok_or_else(|| {
        ApiError::not_found(format!("Hypervisor with ID '{wanted}' could not be found."))
    })
}

async fn show(at: At, Path(wanted): Path<String>) -> Result<Response, ApiError> {
    node::list(&at.cloud, &at.caller)?;
    let with_servers = at.minor >= 53 && at.query.switch("with_servers").unwrap_or(false);
    let view = find(&at, &wanted)?;
    let shown = translate::shown(&at, &view, true, with_servers);
    Ok(Json(json!({ "hypervisor": shown })).into_response())
}

async fn uptime(at: At, Path(wanted): Path<String>) -> Result<Response, ApiError> {
    list::within(&at, 1, 87)?;
    node::list(&at.cloud, &at.caller)?;
    let view = find(&at, &wanted)?;
    let mut shown = translate::shown(&at, &view, false, false);
    shown["uptime"] = json!(translate::uptime(&view));
    Ok(Json(json!({ "hypervisor": shown })).into_response())
}

async fn search(at: At, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    named(&at, &pattern, false)
}

async fn servers(at: At, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    named(&at, &pattern, true)
}

/// The nodes whose names hold a text, as up to 2.52.
fn named(at: &At, pattern: &str, with_servers: bool) -> Result<Response, ApiError> {
    list::within(at, 1, 52)?;
    let nodes = matching(node::list(&at.cloud, &at.caller)?, pattern)?;
    let shown: Vec<Value> = nodes
        .iter()
        .map(|view| translate::shown(at, view, false, with_servers))
        .collect();
    Ok(Json(json!({ "hypervisors": shown })).into_response())
}

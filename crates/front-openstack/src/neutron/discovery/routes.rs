//! Paths of version discovery and of extensions.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::front::{At, Open};
use crate::neutron::error::ApiError;
use crate::route::Route;

/// The extensions that we have, by alias and name.
const EXTENSIONS: [(&str, &str); 25] = [
    ("agent", "agent"),
    ("allowed-address-pairs", "Allowed Address Pairs"),
    ("availability_zone", "Availability Zone"),
    ("binding", "Port Binding"),
    (
        "ext-gw-mode",
        "Neutron L3 Configurable external gateway mode",
    ),
    ("external-net", "Neutron external network"),
    ("extraroute", "Neutron Extra Route"),
    ("filter-validation", "Filter parameters validation"),
    ("ip-substring-filtering", "IP address substring filtering"),
    ("net-mtu", "Network MTU"),
    ("net-mtu-writable", "Network MTU (writable)"),
    ("network_availability_zone", "Network Availability Zone"),
    ("pagination", "Pagination support"),
    ("port-security", "Port Security"),
    ("project-id", "project_id field enabled"),
    ("quota_details", "Quota details management support"),
    ("quotas", "Quota management support"),
    ("router", "Neutron L3 Router"),
    ("router_availability_zone", "Router Availability Zone"),
    ("security-group", "security-group"),
    ("sorting", "Sorting support"),
    ("standard-attr-description", "standard-attr-description"),
    ("standard-attr-revisions", "Resource revision numbers"),
    (
        "standard-attr-tag",
        "Tag support for resources with standard attribute",
    ),
    ("standard-attr-timestamp", "Resource timestamps"),
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/", "listVersions", get(versions)),
        Route::open("/v2.0", "showVersion", get(version)),
        Route::open("/v2.0/", "showVersion", get(version)),
        Route::new("/v2.0/extensions", "listExtensions", get(extensions)),
        Route::new("/v2.0/extensions/{alias}", "showExtension", get(extension)),
    ]
}

async fn versions(open: Open) -> Response {
    let href = format!("{}/network/v2.0/", open.settings.url);
    let version = json!({
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{ "rel": "self", "href": href }],
    });
    Json(json!({ "versions": [version] })).into_response()
}

async fn version(open: Open) -> Response {
    let root = format!("{}/network/v2.0", open.settings.url);
    let resources: Vec<Value> = crate::neutron::tag::TAGGED
        .iter()
        .map(|noun| {
            json!({
                "name": noun.one,
                "collection": noun.many,
                "links": [{ "rel": "self", "href": format!("{root}/{}", noun.path) }],
            })
        })
        .collect();
    Json(json!({ "resources": resources })).into_response()
}

fn shown(alias: &str, name: &str) -> Value {
    json!({
        "alias": alias,
        "name": name,
        "description": name,
        "links": [],
        "updated": "2013-01-01T00:00:00-00:00",
    })
}

async fn extensions(_: At) -> Response {
    let all: Vec<Value> = EXTENSIONS
        .iter()
        .map(|(alias, name)| shown(alias, name))
        .collect();
    Json(json!({ "extensions": all })).into_response()
}

async fn extension(_: At, Path(wanted): Path<String>) -> Result<Response, ApiError> {
    let found = EXTENSIONS.iter().find(|(alias, _)| *alias == wanted);
    let (alias, name) = found.ok_or_else(|| ApiError::not_found("Extension", &wanted))?;
    Ok(Json(json!({ "extension": shown(alias, name) })).into_response())
}

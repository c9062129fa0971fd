//! Paths of version discovery.

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use crate::front::Open;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/", "listVersions", get(versions)),
        Route::open("/v3", "showVersion", get(version)),
        Route::open("/v3/", "showVersion", get(version)),
    ]
}

/// The newest version, which all older ones of 3 are contained in.
fn v3(open: &Open) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{}/identity/v3/", open.settings.url) }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

async fn versions(open: Open) -> Response {
    let body = json!({ "versions": { "values": [v3(&open)] } });
    (StatusCode::MULTIPLE_CHOICES, Json(body)).into_response()
}

async fn version(open: Open) -> Response {
    Json(json!({ "version": v3(&open) })).into_response()
}

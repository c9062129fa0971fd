//! Paths of version discovery.

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::MICROVERSIONS;
use crate::front::Open;
use crate::route::Route;

/// When the newest shape came, as Cinder says.
const UPDATED: &str = "2024-04-03T00:00:00Z";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/", "listVersions", get(versions)),
        Route::open("/v3", "showVersion", get(version)),
        Route::open("/v3/", "showVersion", get(version)),
    ]
}

fn shown(open: &Open) -> Value {
    json!({
        "id": "v3.0",
        "status": "CURRENT",
        "version": MICROVERSIONS.show(MICROVERSIONS.newest),
        "min_version": MICROVERSIONS.show(MICROVERSIONS.oldest),
        "updated": UPDATED,
        "links": [
            { "rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/" },
            { "rel": "self", "href": format!("{}/volume/v3/", open.settings.url) },
        ],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=3",
        }],
    })
}

async fn versions(open: Open) -> Response {
    let body = json!({ "versions": [shown(&open)] });
    (StatusCode::MULTIPLE_CHOICES, Json(body)).into_response()
}

async fn version(open: Open) -> Response {
    Json(json!({ "versions": [shown(&open)] })).into_response()
}

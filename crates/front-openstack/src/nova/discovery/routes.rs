//! Paths of version discovery.

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::front::Open;
use crate::nova::MICROVERSIONS;
use crate::route::Route;

/// When the version's major part came, as everywhere.
const UPDATED: &str = "2013-07-23T11:33:21Z";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/", "listVersions", get(versions)),
        Route::open("/v2.1", "showVersion", get(version)),
        Route::open("/v2.1/", "showVersion", get(version)),
    ]
}

fn shown(open: &Open) -> Value {
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": MICROVERSIONS.show(MICROVERSIONS.newest),
        "min_version": MICROVERSIONS.show(MICROVERSIONS.oldest),
        "updated": UPDATED,
        "links": [{ "rel": "self", "href": format!("{}/compute/v2.1/", open.settings.url) }],
    })
}

async fn versions(open: Open) -> Response {
    Json(json!({ "versions": [shown(&open)] })).into_response()
}

async fn version(open: Open) -> Response {
    let mut version = shown(&open);
    version["media-types"] = json!([{
        "base": "application/json",
        "type": "application/vnd.openstack.compute+json;version=2.1",
    }]);
    Json(json!({ "version": version })).into_response()
}

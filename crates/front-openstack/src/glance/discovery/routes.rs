//! Paths of version discovery, of stores and of ways to import.

use actions::policy::{Action, Target};
use actions::registered_image::quota;
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::front::{At, Open};
use crate::glance::error::ApiError;
use crate::glance::{IMPORT_METHODS, STORE};
use crate::route::Route;

/// The versions of what is served here; those between them are about the cache and about locations.
const VERSIONS: [&str; 15] = [
    "2.15", "2.13", "2.12", "2.11", "2.10", "2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2",
    "2.1", "2.0",
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/", "listVersionsDefault", get(choices)),
        Route::open("/v2", "listVersionsDefault", get(choices)),
        Route::open("/v2/", "listVersionsDefault", get(choices)),
        Route::open("/versions", "listVersions", get(versions)),
        Route::new("/v2/info/import", "showImportInfo", get(import)),
        Route::new("/v2/info/usage", "showUsage", get(usage)),
        Route::new("/v2/info/stores", "showStores", get(stores)),
        Route::new(
            "/v2/info/stores/detail",
            "showStoresDetail",
            get(stores_detail),
        ),
    ]
}

fn described(open: &Open) -> Value {
    let href = format!("{}/image/v2/", open.settings.url);
    let versions: Vec<Value> = VERSIONS
        .iter()
        .enumerate()
        .map(|(at, version)| {
            json!({
                "id": format!("v{version}"),
                "status": if at == 0 { "CURRENT" } else { "SUPPORTED" },
                "links": [{ "rel": "self", "href": href }],
            })
        })
        .collect();
    json!({ "versions": versions })
}

/// A path without a version is answered by which there are.
async fn choices(open: Open) -> Response {
    (StatusCode::MULTIPLE_CHOICES, Json(described(&open))).into_response()
}

async fn versions(open: Open) -> Response {
    Json(described(&open)).into_response()
}

async fn import(_: At) -> Response {
    let methods = json!({
        "description": "Import methods available.",
        "type": "array",
        "value": IMPORT_METHODS,
    });
    Json(json!({ "import-methods": methods })).into_response()
}

async fn usage(at: At) -> Result<Response, ApiError> {
    let figures = quota::usage(&at.cloud, &at.caller)?;
    let usage: Map<String, Value> = figures
        .into_iter()
        .map(|figure| {
            let shown = json!({ "usage": figure.used, "limit": figure.limit });
            (figure.counted.name().to_owned(), shown)
        })
        .collect();
    Ok(Json(json!({ "usage": usage })).into_response())
}

fn store() -> Value {
    json!({
        "id": STORE,
        "description": "The content store of the containers",
        "default": "true",
    })
}

async fn stores(_: At) -> Response {
    Json(json!({ "stores": [store()] })).into_response()
}

async fn stores_detail(at: At) -> Result<Response, ApiError> {
    at.caller.may(Action::ShowStores, &Target::SYSTEM)?;
    let mut store = store();
    store["type"] = json!("file");
    store["weight"] = json!(0);
    store["properties"] = json!({});
    Ok(Json(json!({ "stores": [store] })).into_response())
}

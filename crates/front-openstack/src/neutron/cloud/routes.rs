//! Paths of zones.

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::front::At;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(
        "/v2.0/availability_zones",
        "listAvailabilityZones",
        get(zones),
    )]
}

async fn zones(_: At) -> Response {
    let zones: Vec<Value> = ["network", "router"]
        .iter()
        .map(|of| json!({ "name": "nova", "resource": of, "state": "available" }))
        .collect();
    Json(json!({ "availability_zones": zones })).into_response()
}

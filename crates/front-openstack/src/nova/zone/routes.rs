//! Paths of availability zones: there is one, `nova`, with every node in it, and `internal`, of the
//! cloud's own services, which only operators see.

use actions::node;
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::service::routes::{SCHEDULER, said_at};
use crate::route::Route;

/// The zone of every node.
pub(in crate::nova) const ZONE: &str = "nova";
/// The zone of what no server runs on.
pub(in crate::nova) const INTERNAL: &str = "internal";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.1/os-availability-zone",
            "listAvailabilityZones",
            get(list),
        ),
        Route::new(
            "/v2.1/os-availability-zone/detail",
            "listAvailabilityZonesDetailed",
            get(detail),
        ),
    ]
}

fn zone(name: &str, is_available: bool, hosts: Value) -> Value {
    json!({ "zoneName": name, "zoneState": { "available": is_available }, "hosts": hosts })
}

async fn list(at: At) -> Response {
    let zone = zone(ZONE, node::is_any_up(&at.cloud), Value::Null);
    Json(json!({ "availabilityZoneInfo": [zone] })).into_response()
}

async fn detail(at: At) -> Result<Response, ApiError> {
    let nodes = node::list(&at.cloud, &at.caller)?;
    let hosts = |service: &str| {
        let host = |view: &node::View| {
            let state = json!({
                "available": view.is_up(),
                "active": !view.node.spec.cordoned,
                "updated_at": said_at(view),
            });
            (view.node.meta.name.clone(), json!({ service: state }))
        };
        Value::Object(nodes.iter().map(host).collect::<Map<_, _>>())
    };
    let is_up = nodes.iter().any(node::View::is_up);
    let zones = [
        zone(INTERNAL, is_up, hosts(SCHEDULER)),
        zone(ZONE, is_up, hosts("nova-compute")),
    ];
    Ok(Json(json!({ "availabilityZoneInfo": zones })).into_response())
}

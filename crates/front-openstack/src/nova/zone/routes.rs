//! Paths of availability zones: those of nodes, and `internal`, of the cloud's own services, which only
//! operators see.

use std::collections::BTreeMap;

use actions::{node, zone};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::service::routes::{SERVICES, said_at};
use crate::route::Route;

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

fn shown(name: &str, is_available: bool, hosts: Value) -> Value {
    json!({ "zoneName": name, "zoneState": { "available": is_available }, "hosts": hosts })
}

async fn list(at: At) -> Response {
    let zones: Vec<Value> = zone::list(&at.cloud)
        .iter()
        .map(|(name, is_available)| shown(name, *is_available, Value::Null))
        .collect();
    Json(json!({ "availabilityZoneInfo": zones })).into_response()
}

async fn detail(at: At) -> Result<Response, ApiError> {
    let nodes = node::list(&at.cloud, &at.caller)?;
    let mut hosts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for view in &nodes {
        for service in &SERVICES {
            let state = json!({
                "available": view.is_up(),
                "active": !service.is_cordoned(view),
                "updated_at": said_at(view),
            });
            let of_zone = hosts.entry(service.zone(&at, view)).or_default();
            of_zone.insert(
                view.node.meta.name.clone(),
                json!({ service.binary: state }),
            );
        }
    }
    let known = zone::list(&at.cloud);
    let is_up = nodes.iter().any(node::View::answers);
    let zones: Vec<Value> = hosts
        .into_iter()
        .map(|(name, hosts)| {
            let is_available = known.get(&name).copied().unwrap_or(is_up);
            shown(&name, is_available, Value::Object(hosts))
        })
        .collect();
    Ok(Json(json!({ "availabilityZoneInfo": zones })).into_response())
}

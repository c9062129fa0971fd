//! Paths of services: on every node there is one that runs servers and one that places them, under the
//! names that clients know.

use actions::node;
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::hypervisor::routes::id;
use crate::nova::list;
use crate::nova::zone::routes::{INTERNAL, ZONE};
use crate::route::Route;

/// What places servers.
pub(in crate::nova) const SCHEDULER: &str = "nova-scheduler";
/// What runs servers.
const COMPUTE: &str = "nova-compute";

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("/v2.1/os-services", "listServices", get(list))]
}

/// When a node's services last said that they are there.
pub(in crate::nova) fn said_at(view: &node::View) -> Option<String> {
    let seen_at = view.status.as_ref()?.seen_at;
    Some(seen_at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string())
}

async fn list(at: At) -> Result<Response, ApiError> {
    list::check_query(&at, &["host", "binary"])?;
    let mut shown = Vec::new();
    for view in node::list(&at.cloud, &at.caller)? {
        for (number, binary, zone) in [(0, COMPUTE, ZONE), (1, SCHEDULER, INTERNAL)] {
            let is_wanted = |name: &str, value: &str| {
                let wanted = at.query.get(name);
                wanted.is_none_or(|wanted| wanted.is_empty() || wanted == value)
            };
            if is_wanted("host", &view.node.meta.name) && is_wanted("binary", binary) {
                shown.push(service(&at, &view, number, binary, zone));
            }
        }
    }
    Ok(Json(json!({ "services": shown })).into_response())
}

fn service(at: &At, view: &node::View, number: u8, binary: &str, zone: &str) -> Value {
    let is_cordoned = view.node.spec.cordoned && binary == COMPUTE;
    let mut shown = json!({
        "id": id(at, view.node.meta.id, number),
        "binary": binary,
        "host": view.node.meta.name,
        "zone": zone,
        "status": if is_cordoned { "disabled" } else { "enabled" },
        "state": if view.is_up() { "up" } else { "down" },
        "updated_at": said_at(view),
        "disabled_reason": Value::Null,
    });
    if at.minor >= 11 {
        shown["forced_down"] = json!(false);
    }
    shown
}

//! Paths of limits, availability zones, services and extensions.

use actions::volume;
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cinder::answer::time;
use crate::cinder::error::ApiError;
use crate::cinder::here::Here;
use crate::cinder::volume::translate::{HOST, ZONE};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v3/{project}/os-availability-zone",
            "listZones",
            get(zones),
        ),
        Route::new("/v3/{project}/os-services", "listServices", get(services)),
        Route::new(
            "/v3/{project}/extensions",
            "listExtensions",
            get(extensions),
        ),
    ]
}

async fn zones() -> Response {
    let zone = json!({ "zoneName": ZONE, "zoneState": { "available": true } });
    Json(json!({ "availabilityZoneInfo": [zone] })).into_response()
}

async fn services(here: Here) -> Result<Response, ApiError> {
    volume::may_see_services(&here.caller)?;
    let host = HOST.split('#').next().unwrap_or(HOST);
    let all = [("cinder-scheduler", "longshore"), ("cinder-volume", host)];
    let fits = |name: &str, value: &str| here.query.get(name).is_none_or(|wanted| wanted == value);
    let services: Vec<Value> = all
        .into_iter()
        .filter(|(binary, host)| {
            fits("binary", binary) && (fits("host", host) || is_host(&here, host))
        })
        .map(|(binary, host)| {
            json!({
                "binary": binary,
                "host": host,
                "zone": ZONE,
                "status": "enabled",
                "state": "up",
                "updated_at": time(Timestamp::now()),
                "disabled_reason": null,
            })
        })
        .collect();
    Ok(Json(json!({ "services": services })).into_response())
}

/// A host is also found without its backend.
fn is_host(here: &Here, host: &str) -> bool {
    let wanted = here.query.get("host");
    wanted.is_some_and(|wanted| host.split('@').next() == Some(wanted))
}

/// The parts of the API that were extensions once, and that are served.
const EXTENSIONS: [(&str, &str); 8] = [
    ("AvailabilityZones", "os-availability-zone"),
    ("Services", "os-services"),
    ("TypesExtraSpecs", "os-types-extra-specs"),
    ("VolumeActions", "os-volume-actions"),
    ("VolumeImageMetadata", "os-vol-image-meta"),
    ("VolumeTenantAttribute", "os-vol-tenant-attr"),
    ("VolumeTransfer", "os-volume-transfer"),
    ("VolumeTypeAccess", "os-volume-type-access"),
];

async fn extensions() -> Response {
    let all: Vec<Value> = EXTENSIONS
        .into_iter()
        .map(|(name, alias)| {
            json!({
                "name": name,
                "alias": alias,
                "description": format!("{name} support."),
                "updated": "2011-06-16T00:00:00+00:00",
                "links": [],
            })
        })
        .collect();
    Json(json!({ "extensions": all })).into_response()
}

//! Paths of availability zones and extensions.

use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::cinder::volume::translate::ZONE;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v3/{project}/os-availability-zone",
            "listZones",
            get(zones),
        ),
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

/// The parts of the API that were extensions once, and that are served.
const EXTENSIONS: [(&str, &str); 11] = [
    ("AvailabilityZones", "os-availability-zone"),
    ("Capabilities", "capabilities"),
    ("Hosts", "os-hosts"),
    ("SchedulerStats", "scheduler-stats"),
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

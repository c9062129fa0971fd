//! What is said of the one place where volumes are kept.

use std::collections::BTreeMap;

use actions::snapshot;
use actions::volume::View;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cinder::answer::time;
use crate::cinder::volume::translate::{HOST, ZONE};
use crate::id;

/// The host with its backend, of which the pool is a part.
pub(super) fn backend() -> &'static str {
    HOST.split('#').next().unwrap_or(HOST)
}

/// The parts of the service: what each is called, and where it runs.
pub(super) fn parts() -> [(&'static str, &'static str); 2] {
    [
        ("cinder-scheduler", "longshore"),
        ("cinder-volume", backend()),
    ]
}

/// Whether a host is what a client calls `wanted`: with its backend, or without.
pub(super) fn is_host(host: &str, wanted: &str) -> bool {
    host == wanted || host.split('@').next() == Some(wanted)
}

pub(super) fn service(binary: &str, host: &str) -> Value {
    json!({
        "binary": binary,
        "host": host,
        "zone": ZONE,
        "status": "enabled",
        "state": "up",
        "updated_at": time(Timestamp::now()),
        "disabled_reason": null,
    })
}

pub(super) fn host(binary: &str, host: &str) -> Value {
    json!({
        "host_name": host,
        "service": binary,
        "zone": ZONE,
        "service-status": "available",
        "service-state": "enabled",
        "last-update": time(Timestamp::now()),
    })
}

/// What a host holds: of everybody, and of each project.
#[derive(Default)]
struct Held {
    volumes: usize,
    volume_gib: u64,
    snapshots: usize,
    snapshot_gib: u64,
}

impl Held {
    fn shown(&self, host: &str, project: &str) -> Value {
        json!({ "resource": {
            "host": host,
            "project": project,
            "volume_count": self.volumes.to_string(),
            "total_volume_gb": self.volume_gib.to_string(),
            "snapshot_count": self.snapshots.to_string(),
            "total_snapshot_gb": self.snapshot_gib.to_string(),
        }})
    }
}

/// What a host holds, in total and by project.
pub(super) fn held(host: &str, volumes: &[View], snapshots: &[snapshot::View]) -> Vec<Value> {
    let mut total = Held::default();
    let mut by_project: BTreeMap<String, Held> = BTreeMap::new();
    for view in volumes {
        let project = id::show(view.volume.meta.project.0);
        for held in [&mut total, by_project.entry(project).or_default()] {
            held.volumes += 1;
            held.volume_gib += u64::from(view.volume.spec.size_gib.unwrap_or(0));
        }
    }
    for view in snapshots {
        let project = id::show(view.snapshot.meta.project.0);
        for held in [&mut total, by_project.entry(project).or_default()] {
            held.snapshots += 1;
            held.snapshot_gib += u64::from(view.snapshot.spec.size_gib);
        }
    }
    let projects = by_project.iter();
    std::iter::once(total.shown(host, "(total)"))
        .chain(projects.map(|(project, held)| held.shown(host, project)))
        .collect()
}

/// What the pool is. How much is free is not said: disks are sparse files among others of the node.
pub(super) fn pool() -> Value {
    json!({
        "volume_backend_name": "disks",
        "vendor_name": "Longshore",
        "driver_version": env!("CARGO_PKG_VERSION"),
        "storage_protocol": "longshore",
        "total_capacity_gb": "unknown",
        "free_capacity_gb": "unknown",
        "reserved_percentage": 0,
        "QoS_support": false,
        "timestamp": time(Timestamp::now()),
    })
}

/// What the backend can do that a type may ask for: nothing.
pub(super) fn capabilities() -> Value {
    json!({
        "namespace": format!("OS::Storage::Capabilities::{}", backend()),
        "vendor_name": "Longshore",
        "volume_backend_name": "disks",
        "pool_name": null,
        "driver_version": env!("CARGO_PKG_VERSION"),
        "storage_protocol": "longshore",
        "display_name": null,
        "description": null,
        "visibility": null,
        "replication_targets": [],
        "properties": {},
    })
}

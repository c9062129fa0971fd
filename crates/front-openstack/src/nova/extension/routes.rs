//! Paths of extensions: parts of the API that once came and went by themselves. Older clients look here
//! what there is; all of them are part of version 2.1 by now.
//!
//! Source: Compute API Guide, "Extensions".

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::route::Route;

/// What is served of them, by alias and name.
const EXTENSIONS: [(&str, &str); 38] = [
    ("NMN", "Multinic"),
    ("OS-DCF", "DiskConfig"),
    ("OS-EXT-AZ", "ExtendedAvailabilityZone"),
    ("OS-EXT-IPS", "ExtendedIps"),
    ("OS-EXT-SRV-ATTR", "ExtendedServerAttributes"),
    ("OS-EXT-STS", "ExtendedStatus"),
    ("OS-FLV-DISABLED", "FlavorDisabled"),
    ("OS-FLV-EXT-DATA", "FlavorExtraData"),
    ("OS-SCH-HNT", "SchedulerHints"),
    ("OS-SRV-USG", "ServerUsage"),
    ("os-aggregates", "Aggregates"),
    ("os-attach-interfaces", "AttachInterfaces"),
    ("os-availability-zone", "AvailabilityZone"),
    ("os-config-drive", "ConfigDrive"),
    ("os-console-output", "ConsoleOutput"),
    ("os-consoles", "Consoles"),
    ("os-create-backup", "CreateBackup"),
    ("os-deferred-delete", "DeferredDelete"),
    ("os-extended-volumes", "ExtendedVolumes"),
    ("os-flavor-access", "FlavorAccess"),
    ("os-flavor-extra-specs", "FlavorExtraSpecs"),
    ("os-flavor-manage", "FlavorManage"),
    ("os-floating-ips", "FloatingIps"),
    ("os-hosts", "Hosts"),
    ("os-hypervisors", "Hypervisors"),
    ("os-instance-actions", "InstanceActions"),
    ("os-keypairs", "Keypairs"),
    ("os-lock-server", "LockServer"),
    ("os-pause-server", "PauseServer"),
    ("os-quota-sets", "Quotas"),
    ("os-security-groups", "SecurityGroups"),
    ("os-server-diagnostics", "ServerDiagnostics"),
    ("os-server-groups", "ServerGroups"),
    ("os-services", "Services"),
    ("os-shelve", "Shelve"),
    ("os-simple-tenant-usage", "SimpleTenantUsage"),
    ("os-suspend-server", "SuspendServer"),
    ("os-volumes", "Volumes"),
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.1/extensions", "listExtensions", get(list)),
        Route::new("/v2.1/extensions/{alias}", "showExtension", get(show)),
    ]
}

/// The time and the name space are the same for all, as in Nova.
fn shown((alias, name): (&str, &str)) -> Value {
    json!({
        "alias": alias,
        "name": name,
        "description": name,
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    })
}

async fn list(_at: At) -> Response {
    let all: Vec<Value> = EXTENSIONS.map(shown).into();
    Json(json!({ "extensions": all })).into_response()
}

async fn show(_at: At, Path(alias): Path<String>) -> Result<Response, ApiError> {
    let found = EXTENSIONS.into_iter().find(|(known, _)| *known == alias);
    let found = found.ok_or_else(|| ApiError::not_found("The resource could not be found."))?;
    Ok(Json(json!({ "extension": shown(found) })).into_response())
}

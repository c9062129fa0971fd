//! Networks, as Nova shows them: their names, and that it knows nothing else of them any more.

use actions::network;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::network::Network;
use serde_json::{Map, Value, json};

use super::Old;
use crate::front::At;
use crate::nova::error::ApiError;
use crate::route::Route;

/// What Nova's own networks had.
const FIELDS: [&str; 9] = [
    "cidr",
    "netmask",
    "gateway",
    "broadcast",
    "dns1",
    "dns2",
    "cidr_v6",
    "gateway_v6",
    "netmask_v6",
];
/// What an admin saw of them beside that.
const ADMINS_FIELDS: [&str; 21] = [
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "injected",
    "bridge",
    "vlan",
    "vpn_public_address",
    "vpn_public_port",
    "vpn_private_address",
    "dhcp_start",
    "project_id",
    "host",
    "bridge_interface",
    "multi_host",
    "priority",
    "rxtx_base",
    "mtu",
    "dhcp_server",
    "enable_dhcp",
    "share_address",
];

pub(super) fn routes() -> Vec<Route> {
    let of_tenant = "/v2.1/os-tenant-networks";
    let one_of_tenant = "/v2.1/os-tenant-networks/{id}";
    vec![
        Route::new("/v2.1/os-networks", "listNetworks", get(list)),
        Route::new("/v2.1/os-networks/{id}", "showNetwork", get(show)),
        Route::new(of_tenant, "listTenantNetworks", get(list_of_tenant)),
        Route::new(one_of_tenant, "showTenantNetwork", get(show_of_tenant)),
    ]
}

fn shown(at: &At, network: &Network) -> Value {
    let admins: &[&str] = if at.caller.is_admin() {
        &ADMINS_FIELDS
    } else {
        &[]
    };
    let fields = FIELDS.iter().chain(admins);
    let mut shown: Map<String, Value> = fields
        .map(|name| ((*name).to_owned(), Value::Null))
        .collect();
    shown.insert("id".to_owned(), json!(network.meta.id.to_string()));
    shown.insert("label".to_owned(), json!(network.meta.name));
    Value::Object(shown)
}

fn shown_to_tenant(_: &At, network: &Network) -> Value {
    // QUIRK(Nova): the range is the word that Python has for nothing.
    json!({ "id": network.meta.id.to_string(), "cidr": "None", "label": network.meta.name })
}

fn all(at: &At, shown: fn(&At, &Network) -> Value) -> Response {
    let networks = network::list_all(&at.cloud, &at.caller);
    let shown: Vec<Value> = networks.iter().map(|network| shown(at, network)).collect();
    Json(json!({ "networks": shown })).into_response()
}

fn one(at: &At, id: &str, shown: fn(&At, &Network) -> Value) -> Result<Response, ApiError> {
    let found = id
        .parse()
        .ok()
        .and_then(|id| network::get(&at.cloud, &at.caller, id).ok());
    let found = found.ok_or_else(|| ApiError::not_found("Network not found"))?;
    Ok(Json(json!({ "network": shown(at, &found) })).into_response())
}

async fn list(at: Old) -> Response {
    all(&at, shown)
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    one(&at, &id, shown)
}

async fn list_of_tenant(at: Old) -> Response {
    all(&at, shown_to_tenant)
}

async fn show_of_tenant(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    one(&at, &id, shown_to_tenant)
}

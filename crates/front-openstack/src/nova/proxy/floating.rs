//! Floating addresses and the networks they are of, as Nova shows them; and the actions that lead
//! one to a server.

use std::net::IpAddr;

use actions::floating::{self, FloatingChange, NewTarget, View};
use actions::{network, port, server};
use axum::Json;
use axum::body::HttpBody;
use axum::extract::{FromRequest, Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::Id;
use model::network::Network;
use model::port::owner::COMPUTE;
use serde_json::{Value, json};

use super::{LAST_WITH_ACTIONS, Old, path_id, retold};
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::list::within;
use crate::route::Route;

const ALL: &str = "/v2.1/os-floating-ips";
const ONE: &str = "/v2.1/os-floating-ips/{id}";

pub(super) fn routes() -> Vec<Route> {
    let pools_path = "/v2.1/os-floating-ip-pools";
    vec![
        Route::new(pools_path, "listFloatingIpPools", get(pools)),
        Route::new(ALL, "listFloatingIps", get(list)),
        Route::new(ALL, "allocateFloatingIp", post(create)),
        Route::new(ONE, "showFloatingIp", get(show)),
        Route::new(ONE, "deallocateFloatingIp", delete(remove)),
    ]
}

/// What the network that addresses are of is called as a pool of them.
fn pool(network: &Network) -> String {
    match network.meta.name.as_str() {
        "" => network.meta.id.to_string(),
        name => name.to_owned(),
    }
}

async fn pools(at: Old) -> Result<Response, ApiError> {
    let networks = network::list_all(&at.cloud, &at.caller);
    let external = networks.iter().filter(|network| network.spec.external);
    let shown: Vec<Value> = external
        .map(|network| json!({ "name": pool(network) }))
        .collect();
    Ok(Json(json!({ "floating_ip_pools": shown })).into_response())
}

async fn list(at: Old) -> Result<Response, ApiError> {
    let all = floating::list(&at.cloud, &at.caller);
    let own = |view: &&View| view.floating.meta.project == at.caller.project();
    let shown: Vec<Value> = all.iter().filter(own).map(|one| shown(&at, one)).collect();
    Ok(Json(json!({ "floating_ips": shown })).into_response())
}

async fn create(at: Old, request: Request) -> Result<Response, ApiError> {
    let mut pool = None;
    // A request without a body is for any pool.
    let is_empty = request.body().size_hint().exact() == Some(0);
    if !is_empty {
        let body = Body::from_request(request, &()).await?;
        if !body.0.is_null() {
            let mut fields = Fields::document(body.0)?;
            pool = fields.text_or_null("pool", 0..=usize::MAX)?.flatten();
        }
    }
    let view = floating::create_from(&at.cloud, &at.caller, pool.as_deref()).await;
    let view = view.map_err(retold)?;
    Ok(Json(json!({ "floating_ip": shown(&at, &view) })).into_response())
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = floating::get(&at.cloud, &at.caller, path_id("Floating IP", &id)?)?;
    Ok(Json(json!({ "floating_ip": shown(&at, &view) })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    floating::remove(&at.cloud, &at.caller, path_id("Floating IP", &id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The server that a floating address leads to.
fn server_of(at: &At, view: &View) -> Option<String> {
    let target = view.floating.spec.target.as_ref()?;
    let port = port::get(&at.cloud, &at.caller, target.port).ok()?.port;
    let is_servers = port.spec.device_owner.starts_with(COMPUTE);
    is_servers.then(|| port.spec.device_id.clone())
}

fn shown(at: &At, view: &View) -> Value {
    let spec = &view.floating.spec;
    let network = network::get(&at.cloud, &at.caller, spec.network).ok();
    json!({
        "id": view.floating.meta.id.to_string(),
        "ip": view.address,
        "fixed_ip": spec.target.as_ref().map(|target| target.address),
        "instance_id": server_of(at, view),
        "pool": network.map(|network| pool(&network)),
    })
}

/// The project's floating address that is this one.
fn find(at: &At, address: IpAddr) -> Result<View, ApiError> {
    let mut all = floating::list(&at.cloud, &at.caller).into_iter();
    all.find(|view| view.address == Some(address))
        .ok_or_else(|| ApiError::not_found("floating IP not found"))
}

/// Has a floating address lead to a server, wherever it led.
pub(in crate::nova) async fn associate(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    within(&at, 1, LAST_WITH_ACTIONS)?;
    let mut fields = Fields::object_of(body, "addFloatingIp")?;
    let address = fields.parsed("address", "a 'ip-address'")?;
    let address = fields.required("address", address)?;
    let fixed: Option<IpAddr> = fields.parsed("fixed_address", "a 'ip-address'")?;
    fields.done()?;
    let view = server::get(&at.cloud, &at.caller, id)?;
    let places = view.places(&at.cloud);
    let all: Vec<(Id, IpAddr)> = places
        .iter()
        .flat_map(|place| {
            let addresses = place.addresses.iter();
            addresses.map(|one| (place.port.meta.id, one.address))
        })
        .collect();
    let chosen = match fixed {
        Some(fixed) => all
            .iter()
            .find(|(_, address)| *address == fixed)
            .ok_or("Specified fixed address not assigned to instance"),
        None if all.is_empty() => Err("No fixed IPs associated to instance"),
        None => all
            .iter()
            .find(|(_, address)| address.is_ipv4())
            .ok_or("Instance has no fixed IPv4 addresses to associate."),
    };
    let (port, fixed) = *chosen.map_err(ApiError::invalid)?;
    let change = FloatingChange {
        target: Some(Some(NewTarget {
            port,
            address: Some(fixed),
        })),
        ..FloatingChange::default()
    };
    let floating = find(&at, address)?.floating.meta.id;
    let led = floating::update(&at.cloud, &at.caller, floating, change).await;
    led.map_err(|error| match error.kind {
        // No router leads there: Nova tells it as a wrong request.
        actions::ErrorKind::NotFound => ApiError::invalid(error.message),
        _ => retold(error),
    })?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Has a floating address that leads to a server lead nowhere.
pub(in crate::nova) async fn dissociate(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    within(&at, 1, LAST_WITH_ACTIONS)?;
    let mut fields = Fields::object_of(body, "removeFloatingIp")?;
    let address = fields.parsed("address", "a 'ip-address'")?;
    let address = fields.required("address", address)?;
    fields.done()?;
    server::get(&at.cloud, &at.caller, id)?;
    let view = find(&at, address)?;
    if server_of(&at, &view).as_deref() != Some(id.to_string().as_str()) {
        let message = format!("Floating IP {address} is not associated with instance {id}.");
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    let change = FloatingChange {
        target: Some(None),
        ..FloatingChange::default()
    };
    floating::update(&at.cloud, &at.caller, view.floating.meta.id, change).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

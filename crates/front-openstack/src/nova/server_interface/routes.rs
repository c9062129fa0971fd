//! Paths of servers' addresses, interfaces and security groups.

use actions::server::{self, NewPlace, Place, interface};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, wrong};
use crate::nova::proxy::shown_firewall;
use crate::nova::server::routes::path_id;
use crate::nova::server::translate::{Showing, Whole};
use crate::route::Route;

/// Of all of a server's interfaces.
const ALL: &str = "/v2.1/servers/{id}/os-interface";
/// Of one.
const ONE: &str = "/v2.1/servers/{id}/os-interface/{port}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.1/servers/{id}/ips",
            "listServerAddresses",
            get(addresses),
        ),
        Route::new(
            "/v2.1/servers/{id}/ips/{network}",
            "showServerAddresses",
            get(of_network),
        ),
        Route::new(ALL, "listServerInterfaces", get(list)),
        Route::new(ALL, "createServerInterface", post(attach)),
        Route::new(ONE, "showServerInterface", get(show)),
        Route::new(ONE, "deleteServerInterface", delete(detach)),
        Route::new(
            "/v2.1/servers/{id}/os-security-groups",
            "listServerSecurityGroups",
            get(groups),
        ),
    ]
}

async fn addresses(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = server::get(&at.cloud, &at.caller, path_id(&id)?)?;
    let shown = Showing::new(&at).addresses(&view, &view.places(&at.cloud), Whole::Changed);
    Ok(Json(json!({ "addresses": shown })).into_response())
}

async fn of_network(
    at: At,
    Path((id, network)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let view = server::get(&at.cloud, &at.caller, path_id(&id)?)?;
    let mut shown = Showing::new(&at).addresses(&view, &view.places(&at.cloud), Whole::Changed);
    match shown.get_mut(&network).map(Value::take) {
        Some(addresses) => Ok(Json(json!({ network: addresses })).into_response()),
        None => Err(ApiError::not_found(
            "Instance is not a member of specified network",
        )),
    }
}

fn shown(at: &At, (place, is_active): &(Place, bool)) -> Value {
    let port = &place.port;
    let addresses: Vec<Value> = place
        .addresses
        .iter()
        .map(|fixed| json!({ "ip_address": fixed.address, "subnet_id": fixed.subnet.to_string() }))
        .collect();
    let mut shown = json!({
        "port_id": port.meta.id.to_string(),
        "net_id": port.spec.network.to_string(),
        "mac_addr": port.spec.mac,
        "port_state": if *is_active { "ACTIVE" } else { "DOWN" },
        "fixed_ips": addresses,
    });
    if at.minor >= 70 {
        shown["tag"] = Value::Null;
    }
    shown
}

async fn list(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let places = interface::list(&at.cloud, &at.caller, path_id(&id)?)?;
    let all: Vec<Value> = places.iter().map(|place| shown(&at, place)).collect();
    Ok(Json(json!({ "interfaceAttachments": all })).into_response())
}

async fn show(at: At, Path((id, port)): Path<(String, String)>) -> Result<Response, ApiError> {
    let places = interface::list(&at.cloud, &at.caller, path_id(&id)?)?;
    let is_it = |(place, _): &&(Place, bool)| place.port.meta.id.to_string() == port;
    let found = places.iter().find(is_it).ok_or_else(|| no_port(&port))?;
    Ok(Json(json!({ "interfaceAttachment": shown(&at, found) })).into_response())
}

fn no_port(port: &str) -> ApiError {
    ApiError::not_found(format!("Port id {port} could not be found."))
}

async fn attach(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(&id)?;
    let mut fields = Fields::of(body.0, "interfaceAttachment")?;
    let addresses = fields.objects("fixed_ips", |fixed| {
        let address = fixed.parsed("ip_address", "a 'ip-address'")?;
        fixed.required("ip_address", address)
    })?;
    let place = NewPlace {
        network: fields.id("net_id")?,
        port: fields.id("port_id")?,
        address: one_address(addresses)?,
        tag: if at.minor >= 49 {
            fields.text("tag", 1..=60)?
        } else {
            None
        },
    };
    fields.done()?;
    if place.network.is_some() && place.port.is_some() {
        return Err(ApiError::invalid(
            "Must not input both network_id and port_id",
        ));
    }
    if place.address.is_some() && place.network.is_none() {
        return Err(ApiError::invalid(
            "Must input network_id when request IP address",
        ));
    }
    let made = interface::attach(&at.cloud, &at.caller, id, place).await?;
    Ok(Json(json!({ "interfaceAttachment": shown(&at, &made) })).into_response())
}

fn one_address(
    addresses: Option<Vec<std::net::IpAddr>>,
) -> Result<Option<std::net::IpAddr>, ApiError> {
    match addresses.as_deref() {
        None => Ok(None),
        Some([only]) => Ok(Some(*only)),
        Some(several) => Err(wrong(
            "fixed_ips",
            &json!(several),
            "the list must have one item",
        )),
    }
}

async fn detach(at: At, Path((id, port)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let id = path_id(&id)?;
    let port = port.parse().map_err(|_| no_port(&port))?;
    interface::detach(&at.cloud, &at.caller, id, port).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn groups(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = interface::firewalls(&at.cloud, &at.caller, path_id(&id)?)?;
    let all: Vec<Value> = found.iter().map(|one| shown_firewall(&at, one)).collect();
    Ok(Json(json!({ "security_groups": all })).into_response())
}

//! Fixed addresses of servers as Nova added and removed them: changes of a port, as those of the network
//! service. As there, a container that runs is not told.

use std::net::IpAddr;

use actions::port::{self, NewAddress, PortChange};
use actions::server::{self, Place};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Id;
use serde_json::Value;

use super::{LAST_WITH_ACTIONS, retold};
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::list::within;

/// Gives a server one more address on a network that it is on.
pub(in crate::nova) async fn add(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    within(&at, 1, LAST_WITH_ACTIONS)?;
    let mut fields = Fields::object_of(body, "addFixedIp")?;
    let network = fields.id("networkId")?;
    let network = fields.required("networkId", network)?;
    fields.done()?;
    let places = server::get(&at.cloud, &at.caller, id)?.places(&at.cloud);
    let is_there = |place: &&Place| place.port.spec.network == network && !place.is_implied;
    let place = places.iter().find(is_there).ok_or_else(|| {
        ApiError::not_found(format!(
            "Network could not be found for instance {id}: {network}."
        ))
    })?;
    let first = place.addresses.first();
    let one_more = NewAddress {
        subnet: first.map(|fixed| fixed.subnet),
        address: None,
    };
    let addresses = same(place, |_| true).chain([one_more]).collect();
    change(&at, place, addresses).await
}

/// Takes an address from a server.
pub(in crate::nova) async fn remove(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    within(&at, 1, LAST_WITH_ACTIONS)?;
    let mut fields = Fields::object_of(body, "removeFixedIp")?;
    let address = fields.parsed("address", "a 'ip-address'")?;
    let address: IpAddr = fields.required("address", address)?;
    fields.done()?;
    let places = server::get(&at.cloud, &at.caller, id)?.places(&at.cloud);
    let has = |place: &&Place| place.addresses.iter().any(|fixed| fixed.address == address);
    let place = places
        .iter()
        .filter(|place| !place.is_implied)
        .find(has)
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "Fixed IP address {address} not found on instance {id}."
            ))
        })?;
    let left = same(place, |other| other != address).collect();
    change(&at, place, left).await
}

/// The addresses that a place has, but for some.
fn same(place: &Place, keep: impl Fn(IpAddr) -> bool) -> impl Iterator<Item = NewAddress> {
    let kept = place
        .addresses
        .iter()
        .filter(move |fixed| keep(fixed.address));
    kept.map(|fixed| NewAddress {
        subnet: Some(fixed.subnet),
        address: Some(fixed.address),
    })
}

async fn change(at: &At, place: &Place, addresses: Vec<NewAddress>) -> Result<Response, ApiError> {
    let change = PortChange {
        addresses: Some(addresses),
        ..PortChange::default()
    };
    let changed = port::update(&at.cloud, &at.caller, place.port.meta.id, change).await;
    changed.map_err(retold)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

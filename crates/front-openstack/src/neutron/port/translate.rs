//! Between a port and what clients read and write of it.

use actions::Caller;
use actions::port::{NewPort, PortChange, View};
use model::network::Cidr;
use model::port::AddressPair;
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, missing, wrong};

/// A port as clients read it.
pub(super) fn shown(view: &View) -> Object {
    let spec = &view.port.spec;
    let addresses: Vec<Value> = view
        .addresses
        .iter()
        .map(|fixed| json!({ "subnet_id": fixed.subnet.to_string(), "ip_address": fixed.address }))
        .collect();
    let pairs: Vec<Value> = spec
        .allowed_pairs
        .iter()
        .map(|pair| {
            let address = if pair.single {
                pair.cidr.address().to_string()
            } else {
                pair.cidr.to_string()
            };
            let mac = pair.mac.as_ref().unwrap_or(&spec.mac);
            json!({ "ip_address": address, "mac_address": mac })
        })
        .collect();
    let firewalls: Vec<String> = spec.firewalls.iter().map(ToString::to_string).collect();
    let host = view.host.as_ref().unwrap_or(&spec.host);
    let kind = if view.host.is_some() {
        "bridge"
    } else {
        "unbound"
    };
    with(
        common(&view.port.meta, &spec.description, &spec.tags),
        [
            ("admin_state_up", json!(spec.admin_up)),
            ("allowed_address_pairs", json!(pairs)),
            ("binding:host_id", json!(host)),
            ("binding:profile", json!({})),
            ("binding:vif_details", json!({})),
            ("binding:vif_type", json!(kind)),
            ("binding:vnic_type", json!("normal")),
            ("device_id", json!(spec.device_id)),
            ("device_owner", json!(spec.device_owner)),
            ("dns_name", json!(spec.dns_name)),
            ("extra_dhcp_opts", json!([])),
            ("fixed_ips", json!(addresses)),
            ("ip_allocation", json!("immediate")),
            ("mac_address", json!(spec.mac)),
            ("network_id", json!(spec.network.to_string())),
            ("port_security_enabled", json!(spec.port_security)),
            ("security_groups", json!(firewalls)),
            ("status", json!(if view.active { "ACTIVE" } else { "DOWN" })),
        ],
    )
}

fn pairs(fields: &mut Fields) -> Result<Option<Vec<AddressPair>>, ApiError> {
    fields.objects("allowed_address_pairs", |fields| {
        let text: String = fields
            .text("ip_address")?
            .ok_or_else(|| missing("ip_address"))?;
        let single = text.parse().ok();
        let cidr = match single {
            Some(address) => Cidr::new(address, if address.is_ipv4() { 32 } else { 128 }),
            None => text.parse().ok(),
        };
        Ok(AddressPair {
            cidr: cidr.ok_or_else(|| wrong("ip_address", &json!(text), "a valid CIDR"))?,
            mac: fields.text("mac_address")?,
            single: single.is_some(),
        })
    })
}

/// Refuses what cannot be said of a port here.
fn check_rest(fields: &mut Fields) -> Result<(), ApiError> {
    fields.only("binding:profile", &[json!({}), Value::Null])?;
    fields.only("binding:vnic_type", &[json!("normal")])?;
    fields.only("extra_dhcp_opts", &[json!([]), Value::Null])
}

/// The port to make, and who makes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewPort), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    let network = fields.required_id("network_id")?;
    check_rest(&mut fields)?;
    let change = words(&mut fields)?;
    let new = NewPort {
        name: change.name.unwrap_or_default(),
        mac: change.mac,
        addresses: change.addresses,
        firewalls: change.firewalls,
        allowed_pairs: change.allowed_pairs.unwrap_or_default(),
        port_security: change.port_security,
        admin_up: change.admin_up.unwrap_or(true),
        device_id: change.device_id.unwrap_or_default(),
        device_owner: change.device_owner.unwrap_or_default(),
        host: change.host.unwrap_or_default(),
        dns_name: change.dns_name.unwrap_or_default(),
        description: change.description.unwrap_or_default(),
        tags: fields.tags()?.unwrap_or_default(),
        ..NewPort::on(network)
    };
    fields.done()?;
    Ok((caller, new))
}

/// What to change of a port.
pub(super) fn change(body: Value) -> Result<PortChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    check_rest(&mut fields)?;
    let change = words(&mut fields)?;
    fields.done().map(|()| change)
}

fn words(fields: &mut Fields) -> Result<PortChange, ApiError> {
    Ok(PortChange {
        name: fields.text("name")?,
        mac: fields.parsed("mac_address", "a valid MAC address")?,
        addresses: fields.addresses("fixed_ips")?,
        firewalls: fields.each("security_groups", "a valid UUID")?,
        allowed_pairs: pairs(fields)?,
        port_security: fields.switch("port_security_enabled")?,
        admin_up: fields.switch("admin_state_up")?,
        device_id: fields.text("device_id")?,
        device_owner: fields.text("device_owner")?,
        host: fields.text("binding:host_id")?,
        dns_name: fields.text("dns_name")?,
        description: fields.text("description")?,
        tags: None,
        origin: None,
    })
}

//! Between a network and what clients read and write of it.

use std::collections::BTreeMap;

use actions::Caller;
use actions::network::{NetworkChange, NewNetwork};
use model::network::{Network, NetworkSpec, Routing};
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::Fields;

/// Bytes of the largest packet, where nobody says another number.
const MTU: u32 = 1500;

/// A network as clients read it.
pub(super) fn shown(network: &Network) -> Object {
    let spec = &network.spec;
    let subnets: Vec<String> = spec.subnets.iter().map(|one| one.id.to_string()).collect();
    with(
        common(&network.meta, &spec.description, &spec.tags),
        [
            ("admin_state_up", json!(spec.admin_up)),
            ("availability_zone_hints", json!([])),
            ("availability_zones", json!(["nova"])),
            ("ipv4_address_scope", Value::Null),
            ("ipv6_address_scope", Value::Null),
            ("is_default", json!(false)),
            ("mtu", json!(spec.mtu.unwrap_or(MTU))),
            ("port_security_enabled", json!(spec.port_security)),
            ("router:external", json!(spec.external)),
            ("shared", json!(spec.shared)),
            ("status", json!("ACTIVE")),
            ("subnets", json!(subnets)),
        ],
    )
}

/// The network to make, and who makes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewNetwork), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    let external = fields.switch("router:external")?.unwrap_or_default();
    fields.only("is_default", &[json!(false)])?;
    fields.only("availability_zone_hints", &[json!([]), json!(["nova"])])?;
    let spec = NetworkSpec {
        // The node has its own way to an external network; of all others users make the routers.
        routing: if external {
            Routing::Node
        } else {
            Routing::Routers
        },
        external,
        shared: fields.switch("shared")?.unwrap_or_default(),
        admin_up: fields.switch("admin_state_up")?.unwrap_or(true),
        port_security: fields.switch("port_security_enabled")?.unwrap_or(true),
        unique_name: false,
        description: fields.text("description")?.unwrap_or_default(),
        tags: fields.tags()?.unwrap_or_default(),
        mtu: fields.number("mtu")?,
        ..NetworkSpec::default()
    };
    let name = fields.text("name")?.unwrap_or_default();
    fields.done()?;
    let new = NewNetwork {
        name,
        labels: BTreeMap::new(),
        spec,
        // Subnets are made by themselves.
        ipv4: false,
        ipv6: false,
        subnets: Vec::new(),
    };
    Ok((caller, new))
}

/// What to change of a network.
pub(super) fn change(body: Value) -> Result<NetworkChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    fields.only("is_default", &[json!(false)])?;
    let change = NetworkChange {
        name: fields.text("name")?,
        description: fields.text("description")?,
        tags: None,
        admin_up: fields.switch("admin_state_up")?,
        shared: fields.switch("shared")?,
        external: fields.switch("router:external")?,
        port_security: fields.switch("port_security_enabled")?,
        mtu: fields.number("mtu")?,
    };
    fields.done().map(|()| change)
}

//! Between a subnet and what clients read and write of it.

use std::net::IpAddr;

use actions::Caller;
use actions::subnet::{NewGateway, NewSubnet, SubnetChange, View};
use model::network::Cidr;
use model::subnet::{AddressRange, Ipv6Mode};
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, missing, wrong};
use crate::time;

/// A subnet as clients read it.
pub(super) fn shown(view: &View) -> Object {
    let subnet = &view.subnet;
    let pools = if subnet.pools.is_empty() {
        vec![AddressRange::of(subnet.cidr)]
    } else {
        subnet.pools.clone()
    };
    let pools: Vec<Value> = pools
        .iter()
        .map(|pool| json!({ "start": pool.first, "end": pool.last }))
        .collect();
    let routes: Vec<Value> = subnet
        .routes
        .iter()
        .map(|route| {
            json!({ "destination": route.destination.to_string(), "nexthop": route.next_hop })
        })
        .collect();
    let network = &view.network;
    with(
        common(&network.meta, &subnet.description, &subnet.tags),
        [
            ("id", json!(subnet.id.to_string())),
            ("name", json!(subnet.name)),
            ("network_id", json!(network.meta.id.to_string())),
            ("created_at", json!(time::seconds(subnet.created_at))),
            ("updated_at", json!(time::seconds(subnet.updated_at))),
            ("revision_number", json!(subnet.generation)),
            ("allocation_pools", json!(pools)),
            ("cidr", json!(subnet.cidr.to_string())),
            ("dns_nameservers", json!(subnet.dns_servers)),
            ("enable_dhcp", json!(subnet.dhcp)),
            ("gateway_ip", json!(subnet.gateway)),
            ("host_routes", json!(routes)),
            ("ip_version", json!(version(subnet.cidr))),
            (
                "ipv6_address_mode",
                json!(subnet.ipv6_address_mode.map(word)),
            ),
            ("ipv6_ra_mode", json!(subnet.ipv6_ra_mode.map(word))),
            ("segment_id", Value::Null),
            ("service_types", json!([])),
            ("subnetpool_id", Value::Null),
        ],
    )
}

const fn version(cidr: Cidr) -> u8 {
    if cidr.address().is_ipv4() { 4 } else { 6 }
}

const fn word(mode: Ipv6Mode) -> &'static str {
    match mode {
        Ipv6Mode::Stateful => "dhcpv6-stateful",
        Ipv6Mode::Stateless => "dhcpv6-stateless",
        Ipv6Mode::Slaac => "slaac",
    }
}

fn mode(fields: &mut Fields, name: &str) -> Result<Option<Ipv6Mode>, ApiError> {
    let Some(text) = fields.parsed::<String>(name, "a string")? else {
        return Ok(None);
    };
    [Ipv6Mode::Stateful, Ipv6Mode::Stateless, Ipv6Mode::Slaac]
        .into_iter()
        .find(|mode| word(*mode) == text)
        .map(Some)
        .ok_or_else(|| wrong(name, &json!(text), "a mode of IPv6 addresses"))
}

fn pools(fields: &mut Fields) -> Result<Option<Vec<AddressRange>>, ApiError> {
    fields.objects("allocation_pools", |pool| {
        let mut end = |name| {
            pool.parsed(name, "a valid IP address")?
                .ok_or_else(|| missing(name))
        };
        Ok(AddressRange {
            first: end("start")?,
            last: end("end")?,
        })
    })
}

/// The gateway: `None` where nothing is said, `Some(None)` where there is to be none.
fn gateway(fields: &mut Fields) -> Result<Option<Option<IpAddr>>, ApiError> {
    match fields.take("gateway_ip") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => {
            let address = value.as_str().and_then(|text| text.parse().ok());
            address
                .map(|address| Some(Some(address)))
                .ok_or_else(|| wrong("gateway_ip", &value, "a valid IP address"))
        }
    }
}

/// The subnet to make, and who makes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewSubnet), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    for name in [
        "subnetpool_id",
        "segment_id",
        "prefixlen",
        "use_default_subnetpool",
    ] {
        fields.only(name, &[Value::Null, json!(false)])?;
    }
    fields.only("service_types", &[json!([])])?;
    let cidr: Cidr = fields
        .parsed("cidr", "a valid CIDR")?
        .ok_or_else(|| missing("cidr"))?;
    let wanted: u8 = fields
        .number("ip_version")?
        .ok_or_else(|| missing("ip_version"))?;
    if wanted != version(cidr) {
        return Err(ApiError::invalid(format!(
            "Invalid input for operation: cidr {cidr} does not match the ip_version {wanted}."
        )));
    }
    let new = NewSubnet {
        network: fields.required_id("network_id")?,
        name: fields.text("name")?.unwrap_or_default(),
        description: fields.text("description")?.unwrap_or_default(),
        tags: fields.tags()?.unwrap_or_default(),
        cidr,
        gateway: match gateway(&mut fields)? {
            None => NewGateway::First,
            Some(None) => NewGateway::Without,
            Some(Some(address)) => NewGateway::At(address),
        },
        pools: pools(&mut fields)?,
        routes: fields.routes("host_routes")?.unwrap_or_default(),
        dns_servers: fields
            .each("dns_nameservers", "a valid IP address")?
            .unwrap_or_default(),
        dhcp: fields.switch("enable_dhcp")?.unwrap_or(true),
        ipv6_address_mode: mode(&mut fields, "ipv6_address_mode")?,
        ipv6_ra_mode: mode(&mut fields, "ipv6_ra_mode")?,
    };
    fields.done()?;
    Ok((caller, new))
}

/// What to change of a subnet.
pub(super) fn change(body: Value) -> Result<SubnetChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    fields.only("service_types", &[json!([])])?;
    let change = SubnetChange {
        name: fields.text("name")?,
        description: fields.text("description")?,
        tags: None,
        gateway: gateway(&mut fields)?,
        pools: pools(&mut fields)?,
        routes: fields.routes("host_routes")?,
        dns_servers: fields.each("dns_nameservers", "a valid IP address")?,
        dhcp: fields.switch("enable_dhcp")?,
    };
    fields.done().map(|()| change)
}

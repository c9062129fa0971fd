//! `/openstack/VERSION/...`: JSON documents, as cloud-init's data sources OpenStack and ConfigDrive
//! read them.
//!
//! Later versions only add fields, and readers leave out what they do not know: every version is
//! answered alike. Source: Nova, "Metadata service"; `nova/virt/netutils.py` for the network.

use std::net::IpAddr;

use actions::metadata::{Facts, Link};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Found, user_data};

/// Every version that Nova has.
pub(super) const VERSIONS: [&str; 10] = [
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "latest",
];
/// Follows the host name, as Nova has it.
const DOMAIN: &str = "novalocal";

pub(super) fn versions() -> Found {
    Found::Text(VERSIONS.join("\n"))
}

pub(super) fn find(facts: &Facts, version: &str, rest: &[&str]) -> Option<Found> {
    if !VERSIONS.contains(&version) {
        return None;
    }
    match rest {
        [] => Some(contents(facts)),
        ["meta_data.json"] => Some(Found::Json(meta_data(facts))),
        ["network_data.json"] => Some(Found::Json(network_data(facts))),
        ["vendor_data.json"] => Some(Found::Json(json!({}))),
        ["vendor_data2.json"] => Some(Found::Json(json!({ "static": {} }))),
        ["user_data"] => user_data(facts),
        ["password"] => Some(Found::Text(facts.guest.password.clone())),
        _ => None,
    }
}

fn contents(facts: &Facts) -> Found {
    let mut names = vec!["meta_data.json"];
    if facts.guest.user_data.is_some() {
        names.push("user_data");
    }
    names.extend([
        "password",
        "vendor_data.json",
        "network_data.json",
        "vendor_data2.json",
    ]);
    Found::Text(names.join("\n"))
}

pub(super) fn host_name(facts: &Facts) -> String {
    format!("{}.{DOMAIN}", facts.hostname)
}

fn meta_data(facts: &Facts) -> Value {
    let guest = &facts.guest;
    let mut document = json!({
        "uuid": facts.id.to_string(),
        "name": guest.name,
        "hostname": host_name(facts),
        "project_id": facts.project.to_string(),
        "availability_zone": guest.availability_zone,
        "launch_index": guest.launch_index,
        "devices": [],
        "dedicated_cpus": [],
        "random_seed": STANDARD.encode(rand::random::<[u8; 256]>()),
    });
    if !guest.metadata.is_empty() {
        document["meta"] = json!(guest.metadata);
    }
    if !guest.public_keys.is_empty() {
        let named = guest.public_keys.iter();
        document["public_keys"] = named
            .map(|key| (key.name.clone(), Value::from(key.data.clone())))
            .collect::<Map<_, _>>()
            .into();
        let keys = guest.public_keys.iter();
        document["keys"] = keys
            .map(|key| json!({ "name": key.name, "type": key.kind, "data": key.data }))
            .collect();
    }
    document
}

fn network_data(facts: &Facts) -> Value {
    let (mut links, mut networks, mut servers) = (Vec::new(), Vec::new(), Vec::<Value>::new());
    for link in &facts.links {
        let name = format!("tap{}", &link.endpoint.id.to_string()[..11]);
        links.push(json!({
            "id": name,
            "vif_id": link.endpoint.id.to_string(),
            "type": "bridge",
            "mtu": link.network.spec.mtu,
            "ethernet_mac_address": link.endpoint.mac,
        }));
        for (address, prefix) in link.endpoint.addresses() {
            let found = network(link, &name, networks.len(), address, prefix);
            for server in found["services"].as_array().into_iter().flatten() {
                if !servers.contains(server) {
                    servers.push(server.clone());
                }
            }
            networks.push(found);
        }
    }
    json!({ "links": links, "networks": networks, "services": servers })
}

fn network(link: &Link, name: &str, number: usize, address: IpAddr, prefix: u8) -> Value {
    let subnet = link.network.spec.subnet_of(address);
    let mut routes = Vec::new();
    if let Some(gateway) = subnet.and_then(|subnet| subnet.gateway) {
        routes.push(route(
            if address.is_ipv4() { "0.0.0.0" } else { "::" },
            0,
            gateway,
        ));
    }
    for told in subnet.iter().flat_map(|subnet| &subnet.routes) {
        let to = told.destination;
        routes.push(route(&to.address().to_string(), to.prefix(), told.next_hop));
    }
    let servers = subnet.iter().flat_map(|subnet| &subnet.dns_servers);
    let servers: Vec<Value> = servers
        .map(|server| json!({ "type": "dns", "address": server.to_string() }))
        .collect();
    json!({
        "id": format!("network{number}"),
        "type": if address.is_ipv4() { "ipv4" } else { "ipv6" },
        "link": name,
        "ip_address": address.to_string(),
        "netmask": netmask(address.is_ipv4(), prefix),
        "routes": routes,
        "network_id": link.network.meta.id.to_string(),
        "services": servers,
    })
}

fn route(network: &str, prefix: u8, gateway: IpAddr) -> Value {
    json!({
        "network": network,
        "netmask": netmask(gateway.is_ipv4(), prefix),
        "gateway": gateway.to_string(),
    })
}

/// The bits of a prefix as an address.
fn netmask(is_ipv4: bool, prefix: u8) -> String {
    let prefix = u32::from(prefix);
    if is_ipv4 {
        let bits = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        std::net::Ipv4Addr::from(bits).to_string()
    } else {
        let bits = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        std::net::Ipv6Addr::from(bits).to_string()
    }
}

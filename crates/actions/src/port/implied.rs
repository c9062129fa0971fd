//! The places that instances have on networks without ports of their own, shown as ports.
//! They are nowhere written: each is read off its instance, and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::instance::Endpoint;
use model::network::Network;
use model::node::Node;
use model::port::{FixedAddress, Port, PortSpec, owner};

use super::View;
use crate::{Cloud, instance};

/// The places that an instance has on networks without ports of its own.
pub(crate) fn implied(cloud: &Cloud, view: &instance::View) -> Vec<View> {
    let placement = view.placement.as_deref();
    let endpoints = placement
        .map(|placement| placement.endpoints.as_slice())
        .unwrap_or_default();
    let node = placement
        .and_then(|placement| placement.node)
        .and_then(|node| cloud.store.get::<Node>(node))
        .map(|node| node.value.meta.name.clone());
    let own = endpoints.iter().filter(|endpoint| !endpoint.port);
    own.map(|endpoint| View {
        port: Arc::new(implied_port(view, endpoint)),
        addresses: implied_addresses(cloud, endpoint),
        active: view
            .status
            .endpoints
            .iter()
            .any(|one| one.id == endpoint.id),
        host: node.clone(),
        implied: true,
    })
    .collect()
}

fn implied_port(view: &instance::View, endpoint: &Endpoint) -> Port {
    let mut meta = view.instance.meta.clone();
    meta.id = endpoint.id;
    meta.name = String::new();
    meta.labels.clear();
    meta.generation = 1;
    Port {
        spec: PortSpec {
            network: endpoint.network,
            mac: endpoint.mac.clone(),
            wanted: Vec::new(),
            firewalls: Vec::new(),
            allowed_pairs: Vec::new(),
            port_security: false,
            admin_up: true,
            device_id: view.instance.meta.id.to_string(),
            device_owner: format!("{}container", owner::COMPUTE),
            host: String::new(),
            dns_name: view.instance.meta.name.clone(),
            description: String::new(),
            tags: BTreeSet::new(),
            origin: BTreeMap::new(),
        },
        meta,
    }
}

fn implied_addresses(cloud: &Cloud, endpoint: &Endpoint) -> Vec<FixedAddress> {
    let network = cloud.store.get::<Network>(endpoint.network);
    let spec = network.as_ref().map(|network| &network.value.spec);
    endpoint
        .addresses()
        .filter_map(|(address, _)| {
            Some(FixedAddress {
                subnet: spec?.subnet_of(address)?.id,
                address,
            })
        })
        .collect()
}

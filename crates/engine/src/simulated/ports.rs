//! Ports of the simulated node: each has one owner at a time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::instance::{BoundPort, Failure, FailureKind, Instance, NetworkMode, PublishedPort};
use model::network::Network;

use super::{Body, State};
use crate::failure::refused;

/// First port given out where any free one is asked for.
const FIRST_FREE_PORT: u16 = 32_768;

impl State {
    /// The ports that an instance's start takes.
    pub(super) fn free_ports(
        &self,
        instance: &Instance,
        networks: &[Network],
    ) -> Result<Vec<BoundPort>, Failure> {
        if instance.spec.network != NetworkMode::Attached {
            return Ok(Vec::new());
        }
        let taken = self
            .instances
            .values()
            .filter_map(Body::running)
            .flat_map(|current| &current.started.ports);
        let mut bound: Vec<BoundPort> = Vec::new();
        let mut all: Vec<BoundPort> = taken.cloned().collect();
        let default = networks
            .iter()
            .find_map(|network| network.spec.host_binding);
        for wanted in &instance.spec.published_ports {
            let everywhere = [
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ];
            let addresses = wanted
                .host_ip
                .or(default)
                .map_or_else(|| everywhere.to_vec(), |ip| vec![ip]);
            let chosen = candidates(wanted).find_map(|port| {
                let here: Vec<BoundPort> =
                    addresses.iter().map(|ip| at(wanted, *ip, port)).collect();
                here.iter()
                    .all(|port| !all.iter().any(|other| clash(port, other)))
                    .then_some(here)
            });
            let Some(chosen) = chosen else {
                let address = addresses.first().copied().unwrap_or(everywhere[0]);
                let message = format!(
                    "driver failed programming external connectivity on endpoint {}: Bind for {address}:{} failed: port is already allocated",
                    instance.meta.name, wanted.host_port
                );
                return Err(refused(FailureKind::Conflict, message));
            };
            all.extend(chosen.iter().cloned());
            bound.extend(chosen);
        }
        Ok(bound)
    }
}

fn candidates(wanted: &PublishedPort) -> std::ops::RangeInclusive<u16> {
    match wanted.host_port {
        0 => FIRST_FREE_PORT..=u16::MAX,
        first => first..=wanted.host_port_end.max(first),
    }
}

const fn at(wanted: &PublishedPort, host_ip: IpAddr, host_port: u16) -> BoundPort {
    BoundPort {
        protocol: wanted.protocol,
        container_port: wanted.container_port,
        host_ip,
        host_port,
    }
}

fn clash(one: &BoundPort, other: &BoundPort) -> bool {
    let overlap = one.host_ip == other.host_ip
        || one.host_ip.is_ipv4() == other.host_ip.is_ipv4()
            && (one.host_ip.is_unspecified() || other.host_ip.is_unspecified());
    one.protocol == other.protocol && one.host_port == other.host_port && overlap
}

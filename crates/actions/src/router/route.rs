//! A router's further routes: which of them lead somewhere.

use std::net::IpAddr;

use model::network::Network;
use model::router::Router;
use model::subnet::Route;

use super::interface::subnets_of;
use crate::refusal::Refusal;
use crate::{ActionError, Cloud, port};

/// Routes lead to somebody on one of the router's subnets who is not the router itself.
pub(super) fn check_routes(
    cloud: &Cloud,
    router: &Router,
    routes: &[Route],
) -> Result<(), ActionError> {
    let mut subnets = subnets_of(cloud, router);
    let mut own: Vec<IpAddr> = router
        .spec
        .interfaces
        .iter()
        .flat_map(|port| port::addresses(cloud, *port))
        .map(|fixed| fixed.address)
        .collect();
    if let Some(gateway) = &router.spec.gateway {
        let network = cloud.store.get::<Network>(gateway.network);
        subnets.extend(
            network
                .iter()
                .flat_map(|network| network.value.spec.subnets.iter().cloned()),
        );
        own.extend(
            port::addresses(cloud, gateway.port)
                .iter()
                .map(|fixed| fixed.address),
        );
    }
    for (at, route) in routes.iter().enumerate() {
        let reason = if routes[..at].contains(route) {
            "it is there twice"
        } else if route.destination.address().is_ipv4() != route.next_hop.is_ipv4() {
            "the two are of different families"
        } else if own.contains(&route.next_hop) {
            "the nexthop is used by router"
        } else if !subnets
            .iter()
            .any(|subnet| subnet.cidr.contains(route.next_hop))
        {
            "the nexthop is not connected with router"
        } else {
            continue;
        };
        return Err(Refusal::RouteInvalid {
            destination: route.destination,
            next_hop: route.next_hop,
            reason,
        }
        .into());
    }
    Ok(())
}

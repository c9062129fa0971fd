//! Which of a sandbox's interfaces leads out: it has the default route, and its ports are the
//! published ones. Looked at anew whenever an interface comes or goes.

use model::instance::Endpoint;
use model::network::Routing;

use super::super::Inner;
use super::super::bridge::Bridge;
use super::super::change::Batch;
use super::super::error::NetworkError;
use super::super::netlink::Socket;
use super::super::ports::{self, Target};
use super::super::record::Interface;
use super::Live;

impl Inner {
    /// Points the default routes where they belong now.
    pub(super) fn route(&self, live: &Live, socket: &mut Socket) -> Result<(), NetworkError> {
        let interfaces = &live.record.interfaces;
        let bridges: Vec<Bridge> = interfaces
            .iter()
            .map(|interface| {
                self.bridge(interface.endpoint.network)
                    .ok_or(NetworkError::UnknownNetwork {
                        network: interface.endpoint.network,
                    })
            })
            .collect::<Result<_, _>>()?;
        let mut batch = Batch::default();
        for (at, v4) in [
            (way_out(interfaces, &bridges), true),
            (way_out6(interfaces, &bridges), false),
        ] {
            let Some(at) = at else { continue };
            if let (Some(gateway), Some(link)) = (
                bridges[at].gateway(&interfaces[at].endpoint, v4),
                socket.link(&interfaces[at].name)?,
            ) {
                batch.add_default_route(link.index, gateway);
            }
        }
        socket.run(batch)
    }

    /// Publishes by the network that has the default route now, on the same ports of the node.
    pub(super) fn publish_again(&self, live: &mut Live) -> Result<(), NetworkError> {
        let name = live.record.naming.name.clone();
        let interfaces = &live.record.interfaces;
        let bridges: Vec<Bridge> = interfaces
            .iter()
            .filter_map(|interface| self.bridge(interface.endpoint.network))
            .collect();
        let target = published_by(interfaces, &bridges)
            .map(|at| target(&name, &interfaces[at].endpoint, &bridges[at]));
        let old = ports::elements(live.held.iter().map(|held| &held.published));
        let held = std::mem::take(&mut live.held);
        match target {
            Some(target) if held.is_empty() => {
                live.held = self.ports.take(&live.record.wanted, &target)?;
            }
            Some(target) => live.held = self.ports.retarget(held, &target),
            None => self.ports.give_back(&held),
        }
        live.record.published = live
            .held
            .iter()
            .map(|held| held.published.clone())
            .collect();
        let new = ports::elements(live.held.iter().map(|held| &held.published));
        let gone: Vec<_> = old
            .iter()
            .filter(|element| !new.contains(element))
            .cloned()
            .collect();
        self.firewall.change(&new, &gone)
    }
}

/// Which interface has the default route: of those with a way out, the one with the highest
/// priority, the first of equals.
pub(super) fn way_out(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
    best(interfaces, |at| {
        bridges[at]
            .gateway(&interfaces[at].endpoint, true)
            .is_some()
    })
    .or_else(|| way_out6(interfaces, bridges))
}

/// By which interface ports are published: that of the default route, where the node is on its
/// network. What routers carry has floating addresses instead.
pub(super) fn published_by(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
    way_out(interfaces, bridges).filter(|at| bridges[*at].network.spec.routing == Routing::Node)
}

pub(super) fn way_out6(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
    best(interfaces, |at| {
        bridges[at]
            .gateway(&interfaces[at].endpoint, false)
            .is_some()
    })
}

fn best(interfaces: &[Interface], leads_out: impl Fn(usize) -> bool) -> Option<usize> {
    (0..interfaces.len())
        .filter(|at| leads_out(*at))
        .max_by_key(|at| (interfaces[*at].gateway_priority, std::cmp::Reverse(*at)))
}

pub(super) fn target<'a>(name: &'a str, endpoint: &Endpoint, bridge: &Bridge) -> Target<'a> {
    Target {
        name,
        endpoint: endpoint.id.simple(),
        ipv4: endpoint.ipv4.map(|(address, _)| address),
        ipv6: endpoint.ipv6.map(|(address, _)| address),
        default_ip: bridge.network.spec.host_binding,
    }
}

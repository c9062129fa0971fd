//! Plugs one interface of a sandbox into its bridge: guarded before anything passes it, known to
//! the bridge, dressed inside.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use model::instance::Endpoint;
use model::network::Routing;

use super::super::Inner;
use super::super::bridge::{Bridge, PORT_LIMIT};
use super::super::change::{Batch, Port, parse_mac};
use super::super::error::NetworkError;
use super::super::guard::{Guard, Plug};
use super::super::namespace;
use super::super::pool::set_parameter;
use super::super::record::Interface;
use super::addresses;

/// A route that a subnet tells of and that leads nowhere is left out.
const NOWHERE: &[rustix::io::Errno] = &[
    rustix::io::Errno::NETUNREACH,
    rustix::io::Errno::HOSTUNREACH,
    rustix::io::Errno::INVAL,
];

impl Inner {
    /// Says what a port may, and has its place on the bridge follow.
    pub(in crate::network) fn guard(&self, guard: &Guard) -> Result<(), NetworkError> {
        let Some(plug) = self.guards.set(guard)? else {
            return Ok(());
        };
        let mut batch = Batch::default();
        if let Some(link) = self.host().link(&plug.interface)? {
            open_port(&mut batch, link.index, &plug.interface, guard)?;
        }
        self.host().run(batch)
    }

    /// Guards an interface before anything passes it.
    pub(in crate::network) fn plug_in(
        &self,
        interface: &Interface,
        bridge: &Bridge,
    ) -> Result<(), NetworkError> {
        if !interface.endpoint.port {
            return Ok(());
        }
        let plug = Plug {
            interface: interface.outer.clone(),
            bridge: bridge.name.clone(),
        };
        self.guards.plug(interface.endpoint.id, plug)
    }

    /// Has the bridge take what a port's guard lets pass beside its own address.
    pub(super) fn open_wide(
        &self,
        outside: &mut Batch,
        interface: &Interface,
    ) -> Result<(), NetworkError> {
        if !interface.endpoint.port {
            return Ok(());
        }
        let port = interface.endpoint.id;
        let guard = self.guards.guard(port);
        let guard = guard.ok_or(NetworkError::UnknownPort { port })?;
        open_port(outside, interface.outer_index, &interface.outer, &guard)
    }

    /// Forgets that something is plugged into a bridge, and into a port.
    pub(super) fn unplug(&self, interface: &Interface) {
        self.leave_seat(interface);
        if interface.endpoint.port
            && let Err(error) = self.guards.unplug(interface.endpoint.id)
        {
            tracing::warn!(port = %interface.endpoint.id, error = &error as &dyn std::error::Error, "rules of a port are left behind");
        }
    }
}

/// The changes on the node and inside that make an interface work.
pub(super) fn plug_in(
    outside: &mut Batch,
    inside: &mut Batch,
    interface: &Interface,
    inner_index: u32,
    bridge: &Bridge,
    publishes: bool,
) -> Result<(), NetworkError> {
    let mac = parse_mac(&interface.endpoint.mac)?;
    let mtu = bridge.network.spec.mtu;
    let port = Port {
        isolated: !bridge.network.spec.inter_instance,
        open: false,
        hairpin: publishes,
    };
    outside.enslave(
        interface.outer_index,
        &interface.outer,
        interface.seat.map_or(bridge.index, |seat| seat.bridge),
        mtu,
        port,
    );
    outside.add_forwarding(interface.outer_index, &interface.outer, mac);
    // Only where the node speaks to them.
    if bridge.network.spec.routing == Routing::Node {
        for address in addresses(&interface.endpoint) {
            outside.add_neighbour(bridge.index, address, mac);
        }
    }
    inside.dress(inner_index, &interface.name, mac, mtu);
    // As large as the ranges that are set apart for them (RFC 3927, RFC 4291).
    let link_local = interface.link_local.iter();
    let link_local = link_local.map(|at| (*at, if at.is_ipv4() { 16 } else { 64 }));
    let all = || interface.endpoint.addresses().chain(link_local.clone());
    for (address, prefix) in all().filter(|(address, _)| address.is_ipv4()) {
        inside.add_address(inner_index, address, prefix);
    }
    inside.up(inner_index, &interface.name);
    // IPv6 addresses go when an interface is down.
    for (address, prefix) in all().filter(|(address, _)| address.is_ipv6()) {
        inside.add_address(inner_index, address, prefix);
    }
    for route in bridge.routes(&interface.endpoint) {
        inside.add_route(&route, NOWHERE);
    }
    Ok(())
}

/// Has a bridge take, or refuse, other hardware addresses from a port than its own.
fn open_port(
    outside: &mut Batch,
    index: u32,
    name: &str,
    guard: &Guard,
) -> Result<(), NetworkError> {
    let port = Port {
        isolated: false,
        hairpin: false,
        open: !guard.secure,
    };
    outside.set_port(index, name, port);
    for mac in guard.pairs.iter().filter_map(|pair| pair.mac.as_deref()) {
        outside.add_forwarding(index, name, parse_mac(mac)?);
    }
    Ok(())
}

pub(super) fn forget_neighbours(batch: &mut Batch, bridge: &Bridge, endpoint: &Endpoint) {
    if bridge.network.spec.routing == Routing::Routers {
        return;
    }
    for address in addresses(endpoint) {
        batch.delete_neighbour(bridge.index, address);
    }
}

pub(super) fn has_ipv6(interface: &Interface) -> bool {
    let mut own = interface.endpoint.addresses();
    own.any(|(address, _)| address.is_ipv6()) || interface.link_local.iter().any(IpAddr::is_ipv6)
}

pub(super) fn allow_ipv6(
    netns: BorrowedFd<'_>,
    interfaces: &[Interface],
) -> Result<(), NetworkError> {
    namespace::within(netns, || {
        interfaces
            .iter()
            .filter(|interface| has_ipv6(interface))
            .try_for_each(|interface| {
                set_parameter(&format!("ipv6/conf/{}/disable_ipv6", interface.name), "0")
            })
    })
}

/// The kernel's word for a bridge without a free port, in ours.
pub(super) fn full(error: NetworkError, bridges: &[Bridge]) -> NetworkError {
    match &error {
        NetworkError::Link { source, .. }
            if source.raw_os_error() == Some(rustix::io::Errno::XFULL.raw_os_error()) =>
        {
            let bridge = bridges
                .iter()
                .map(|bridge| bridge.name.as_str())
                .collect::<Vec<_>>()
                .join(" or ");
            NetworkError::BridgeFull {
                bridge,
                limit: PORT_LIMIT,
            }
        }
        _ => error,
    }
}

//! One instance's sandbox: its namespace with interfaces, ports and names, attached and detached.
//!
//! Everything here blocks and runs on a blocking thread. [`super::Networks`] calls it and holds
//! the sandbox's lock meanwhile, so of two calls for one instance the second finds what the first
//! left.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use model::Id;
use model::instance::{Endpoint, Instance};
use model::network::{Network, Routing};

use super::Inner;
use super::bridge::{Bridge, PORT_LIMIT};
use super::change::{Batch, Port, parse_mac};
use super::error::NetworkError;
use super::guard::Guard;
use super::namespace::{self, Namespace};
use super::netlink::Socket;
use super::pool::{Outer, set_parameter};
use super::ports::{self, Held, Target};
use super::reaper::Remains;
use super::record::{Interface, Naming, Record};
use super::resolver::Resolver;

/// A route that a subnet tells of and that leads nowhere is left out.
const NOWHERE: &[rustix::io::Errno] = &[
    rustix::io::Errno::NETUNREACH,
    rustix::io::Errno::HOSTUNREACH,
    rustix::io::Errno::INVAL,
];

/// A sandbox in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) record: Record,
    pub(super) namespace: Namespace,
    pub(super) held: Vec<Held>,
    pub(super) resolver: Option<Resolver>,
}

/// A pair of interfaces on its way to being one of a sandbox.
struct Pair {
    outer: Outer,
    inner_index: u32,
}

impl Inner {
    /// Makes a sandbox. A failure leaves nothing.
    pub(super) fn attach(
        &self,
        instance: &Instance,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Live, NetworkError> {
        let mut bridges = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            bridges.push(self.bridge_of(endpoint, networks)?);
            parse_mac(&endpoint.mac)?;
        }
        let interfaces: Vec<Interface> = endpoints
            .iter()
            .enumerate()
            .map(|(at, endpoint)| interface(instance, endpoint, at))
            .collect();
        let held = match published_by(&interfaces, &bridges) {
            Some(at) => {
                let target = target(&instance.meta.name, &endpoints[at], &bridges[at]);
                self.ports.take(&instance.spec.published_ports, &target)?
            }
            None => Vec::new(),
        };
        let mut live = match self.pool.take() {
            Ok(ready) => {
                let record = Record {
                    instance: instance.meta.id,
                    netns: ready
                        .namespace
                        .path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    naming: Naming::of(instance),
                    interfaces,
                    wanted: instance.spec.published_ports.clone(),
                    published: held.iter().map(|held| held.published.clone()).collect(),
                    has_resolver: false,
                };
                let mut live = Live {
                    record,
                    namespace: ready.namespace,
                    held,
                    resolver: None,
                };
                let first = Pair {
                    outer: ready.outer,
                    inner_index: ready.inner_index,
                };
                match self.furnish(&mut live, ready.socket, first, &bridges) {
                    Ok(()) => live,
                    Err(error) => {
                        self.detach(live);
                        return Err(error);
                    }
                }
            }
            Err(error) => {
                self.ports.give_back(&held);
                return Err(error);
            }
        };
        let opened = self
            .open_to_others(&mut live)
            .and_then(|()| self.sandboxes.put(live.record.instance, &live.record));
        match opened {
            Ok(()) => Ok(live),
            Err(error) => {
                self.detach(live);
                Err(error)
            }
        }
    }

    /// Connects the interfaces of a new sandbox.
    fn furnish(
        &self,
        live: &mut Live,
        mut socket: Socket,
        first: Pair,
        bridges: &[Bridge],
    ) -> Result<(), NetworkError> {
        // Loopback only. The pair goes at once: nothing may see it inside.
        if live.record.interfaces.is_empty() {
            let mut batch = Batch::default();
            batch.delete_link(&first.outer.name);
            return self.host().run(batch);
        }
        let mut pairs = vec![first];
        for at in 0..live.record.interfaces.len() {
            if at > 0 {
                let name = live.record.interfaces[at].name.clone();
                let pair = self.pool.maker().pair(
                    &mut self.host(),
                    &live.namespace,
                    &mut socket,
                    &name,
                )?;
                pairs.push(Pair {
                    outer: pair.0,
                    inner_index: pair.1,
                });
            }
            let interface = &mut live.record.interfaces[at];
            interface.outer.clone_from(&pairs[at].outer.name);
            interface.outer_index = pairs[at].outer.index;
            self.plug_in(interface, &bridges[at])?;
        }
        let endpoints: Vec<Endpoint> = live
            .record
            .interfaces
            .iter()
            .map(|interface| interface.endpoint.clone())
            .collect();
        let way_out = way_out(&live.record.interfaces, bridges);
        let way_out6 = way_out6(&live.record.interfaces, bridges);
        if live
            .record
            .interfaces
            .iter()
            .any(|interface| has_ipv6(&interface.endpoint))
        {
            allow_ipv6(live.namespace.fd.as_fd(), &live.record.interfaces)?;
        }
        let publishes = !live.record.wanted.is_empty();
        let (mut outside, mut inside) = (Batch::default(), Batch::default());
        for (at, interface) in live.record.interfaces.iter().enumerate() {
            plug_in(
                &mut outside,
                &mut inside,
                interface,
                pairs[at].inner_index,
                &bridges[at],
                publishes,
            )?;
            self.open_wide(&mut outside, interface)?;
        }
        for (at, v4) in [(way_out, true), (way_out6, false)] {
            if let Some((at, gateway)) =
                at.and_then(|at| Some((at, bridges[at].gateway(&endpoints[at], v4)?)))
            {
                inside.add_default_route(pairs[at].inner_index, gateway);
            }
        }
        self.host()
            .run(outside)
            .map_err(|error| full(error, bridges))?;
        socket.run(inside)?;
        let inner: Vec<u32> = pairs.iter().map(|pair| pair.inner_index).collect();
        let outer = pairs
            .iter()
            .zip(bridges)
            .flat_map(|(pair, bridge)| [pair.outer.index, bridge.index]);
        self.host().settle(&outer.collect::<Vec<u32>>())?;
        socket.settle(&inner)
    }

    /// Publishes the ports and names of a sandbox.
    fn open_to_others(&self, live: &mut Live) -> Result<(), NetworkError> {
        let elements = ports::elements(live.held.iter().map(|held| &held.published));
        self.firewall.change(&elements, &[])?;
        for interface in &live.record.interfaces {
            self.enter_names(&live.record, interface);
        }
        self.start_resolver(live)
    }

    /// Starts the embedded resolver where a network has one.
    pub(super) fn start_resolver(&self, live: &mut Live) -> Result<(), NetworkError> {
        let scope = self.scope(&live.record);
        if scope.networks.is_empty() {
            live.resolver = None;
        } else if let Some(resolver) = &live.resolver {
            resolver.set_scope(scope);
        } else {
            live.resolver = Some(Resolver::start(
                live.namespace.fd.as_fd(),
                scope,
                &self.names,
                &self.runtime,
                live.record.has_resolver,
            )?);
            live.record.has_resolver = true;
        }
        Ok(())
    }

    /// Takes apart a sandbox, or what was made of one. What cannot be undone is reported and left
    /// for the next start's sweep.
    pub(super) fn detach(&self, live: Live) {
        let Live {
            record,
            namespace,
            held,
            resolver,
        } = live;
        drop(resolver);
        for interface in &record.interfaces {
            self.leave_names(record.instance, interface.endpoint.network);
            self.unplug(interface);
        }
        let elements = ports::elements(held.iter().map(|held| &held.published));
        let mut failed = self.firewall.change(&[], &elements).err();
        self.ports.give_back(&held);
        drop(held);
        let mut batch = Batch::default();
        for interface in &record.interfaces {
            if let Some(bridge) = self.bridge(interface.endpoint.network) {
                forget_neighbours(&mut batch, &bridge, &interface.endpoint);
            }
        }
        failed = self.host().run(batch).err().or(failed);
        failed = self.sandboxes.remove(record.instance).err().or(failed);
        if let Some(error) = failed {
            tracing::warn!(instance = %record.instance, error = &error as &dyn std::error::Error, "sandbox not wholly removed");
        }
        self.reaper.hand_over(Remains {
            interfaces: record
                .interfaces
                .iter()
                .map(|interface| interface.outer_index)
                .filter(|index| *index != 0)
                .collect(),
            namespace: Some(namespace.path),
        });
    }

    /// Has the bridge take what a port's guard lets pass beside its own address.
    fn open_wide(&self, outside: &mut Batch, interface: &Interface) -> Result<(), NetworkError> {
        if !interface.endpoint.port {
            return Ok(());
        }
        let port = interface.endpoint.id;
        let guard = self.guards.guard(port);
        let guard = guard.ok_or(NetworkError::UnknownPort { port })?;
        open_port(outside, interface.outer_index, &interface.outer, &guard)
    }

    /// Forgets that something is plugged into a port.
    fn unplug(&self, interface: &Interface) {
        if interface.endpoint.port
            && let Err(error) = self.guards.unplug(interface.endpoint.id)
        {
            tracing::warn!(port = %interface.endpoint.id, error = &error as &dyn std::error::Error, "rules of a port are left behind");
        }
    }

    /// Adds an interface to a sandbox.
    pub(super) fn connect(
        &self,
        live: &mut Live,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<(), NetworkError> {
        if live
            .record
            .interfaces
            .iter()
            .any(|interface| interface.endpoint.id == endpoint.id)
        {
            return Ok(());
        }
        let bridge = self.bridge_of(endpoint, std::slice::from_ref(network))?;
        parse_mac(&endpoint.mac)?;
        let free = (0..)
            .find(|at| {
                live.record
                    .interfaces
                    .iter()
                    .all(|interface| interface.name != format!("eth{at}"))
            })
            .unwrap_or_default();
        let mut interface = interface(instance, endpoint, free);
        let netns = live.namespace.fd.as_fd();
        let mut socket = namespace::within(netns, || {
            Socket::open().map_err(|source| NetworkError::Namespace {
                attempt: "talk to",
                source,
            })
        })?;
        let pair = self.pool.maker().pair(
            &mut self.host(),
            &live.namespace,
            &mut socket,
            &interface.name,
        )?;
        let (outer, inner_index) = pair;
        interface.outer = outer.name;
        interface.outer_index = outer.index;
        let publishes = !live.record.wanted.is_empty();
        let connected = (|| {
            self.plug_in(&interface, &bridge)?;
            if has_ipv6(endpoint) {
                allow_ipv6(netns, std::slice::from_ref(&interface))?;
            }
            let (mut outside, mut inside) = (Batch::default(), Batch::default());
            plug_in(
                &mut outside,
                &mut inside,
                &interface,
                inner_index,
                &bridge,
                publishes,
            )?;
            self.open_wide(&mut outside, &interface)?;
            self.host()
                .run(outside)
                .map_err(|error| full(error, std::slice::from_ref(&bridge)))?;
            socket.run(inside)?;
            self.host().settle(&[interface.outer_index, bridge.index])?;
            socket.settle(&[inner_index])
        })();
        if let Err(error) = connected {
            self.unplug(&interface);
            self.reaper.hand_over(Remains {
                interfaces: vec![interface.outer_index],
                namespace: None,
            });
            return Err(error);
        }
        live.record.interfaces.push(interface.clone());
        self.route(live, &mut socket)?;
        self.enter_names(&live.record, &interface);
        self.publish_again(live)?;
        self.start_resolver(live)?;
        self.sandboxes.put(live.record.instance, &live.record)
    }

    /// Takes an interface from a sandbox; none is fine.
    pub(super) fn disconnect(&self, live: &mut Live, endpoint: Id) -> Result<(), NetworkError> {
        let Some(at) = live
            .record
            .interfaces
            .iter()
            .position(|interface| interface.endpoint.id == endpoint)
        else {
            return Ok(());
        };
        let interface = live.record.interfaces.remove(at);
        let network = interface.endpoint.network;
        self.leave_names(live.record.instance, network);
        let mut batch = Batch::default();
        if let Some(bridge) = self.bridge(network) {
            forget_neighbours(&mut batch, &bridge, &interface.endpoint);
        }
        batch.delete_link(&interface.outer);
        self.host().run(batch)?;
        self.unplug(&interface);
        let mut socket = namespace::within(live.namespace.fd.as_fd(), || {
            Socket::open().map_err(|source| NetworkError::Namespace {
                attempt: "talk to",
                source,
            })
        })?;
        self.route(live, &mut socket)?;
        self.publish_again(live)?;
        self.start_resolver(live)?;
        self.sandboxes.put(live.record.instance, &live.record)
    }

    /// Points the default routes where they belong now.
    fn route(&self, live: &Live, socket: &mut Socket) -> Result<(), NetworkError> {
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
    fn publish_again(&self, live: &mut Live) -> Result<(), NetworkError> {
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

    /// Enters the names of an instance on one of its networks.
    pub(super) fn enter_names(&self, record: &Record, interface: &Interface) {
        let mut names = vec![record.naming.name.clone()];
        names.extend(interface.aliases.iter().cloned());
        names.push(record.instance.simple()[..12].to_owned());
        names.push(record.instance.simple());
        if !record.naming.hostname.is_empty() {
            names.push(record.naming.hostname.clone());
        }
        self.names_mut().enter(
            interface.endpoint.network,
            record.instance,
            &names,
            addresses(&interface.endpoint),
        );
    }

    fn leave_names(&self, instance: Id, network: Id) {
        self.names_mut().leave(network, instance);
    }
}

fn interface(instance: &Instance, endpoint: &Endpoint, at: usize) -> Interface {
    let attachment = instance.spec.attachments.iter().find(|attachment| {
        if endpoint.port {
            attachment.port == Some(endpoint.id)
        } else {
            attachment.network == endpoint.network && attachment.port.is_none()
        }
    });
    Interface {
        endpoint: endpoint.clone(),
        name: format!("eth{at}"),
        outer: String::new(),
        outer_index: 0,
        aliases: attachment
            .map(|attachment| attachment.aliases.clone())
            .unwrap_or_default(),
        links: attachment
            .map(|attachment| attachment.links.clone())
            .unwrap_or_default(),
        gateway_priority: attachment.map_or(0, |attachment| attachment.gateway_priority),
    }
}

/// Which interface has the default route: of those with a way out, the one with the highest
/// priority, the first of equals.
fn way_out(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
    best(interfaces, |at| {
        bridges[at]
            .gateway(&interfaces[at].endpoint, true)
            .is_some()
    })
    .or_else(|| way_out6(interfaces, bridges))
}

/// By which interface ports are published: that of the default route, where the node is on its
/// network. What routers carry has floating addresses instead.
fn published_by(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
    way_out(interfaces, bridges).filter(|at| bridges[*at].network.spec.routing == Routing::Node)
}

fn way_out6(interfaces: &[Interface], bridges: &[Bridge]) -> Option<usize> {
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

fn target<'a>(name: &'a str, endpoint: &Endpoint, bridge: &Bridge) -> Target<'a> {
    Target {
        name,
        endpoint: endpoint.id.simple(),
        ipv4: endpoint.ipv4.map(|(address, _)| address),
        ipv6: endpoint.ipv6.map(|(address, _)| address),
        default_ip: bridge.network.spec.host_binding,
    }
}

pub(super) fn addresses(endpoint: &Endpoint) -> Vec<IpAddr> {
    endpoint.addresses().map(|(address, _)| address).collect()
}

/// The changes on the node and inside that make an interface work.
fn plug_in(
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
        bridge.index,
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
    let all = || interface.endpoint.addresses();
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
pub(super) fn open_port(
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

fn forget_neighbours(batch: &mut Batch, bridge: &Bridge, endpoint: &Endpoint) {
    if bridge.network.spec.routing == Routing::Routers {
        return;
    }
    for address in addresses(endpoint) {
        batch.delete_neighbour(bridge.index, address);
    }
}

fn has_ipv6(endpoint: &Endpoint) -> bool {
    endpoint.addresses().any(|(address, _)| address.is_ipv6())
}

fn allow_ipv6(netns: BorrowedFd<'_>, interfaces: &[Interface]) -> Result<(), NetworkError> {
    namespace::within(netns, || {
        interfaces
            .iter()
            .filter(|interface| has_ipv6(&interface.endpoint))
            .try_for_each(|interface| {
                set_parameter(&format!("ipv6/conf/{}/disable_ipv6", interface.name), "0")
            })
    })
}

/// The kernel's word for a bridge without a free port, in ours.
fn full(error: NetworkError, bridges: &[Bridge]) -> NetworkError {
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

/// Where a recorded namespace is mounted.
pub(super) fn path(directory: &std::path::Path, record: &Record) -> PathBuf {
    directory.join(&record.netns)
}

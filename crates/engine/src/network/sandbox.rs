//! One instance's sandbox: its namespace with interfaces, ports and names, attached and detached.
//!
//! Everything here blocks and runs on a blocking thread. [`super::Networks`] calls it and holds
//! the sandbox's lock meanwhile, so of two calls for one instance the second finds what the first
//! left.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use model::Id;
use model::instance::{Endpoint, Instance};
use model::network::Network;

use super::Inner;
use super::bridge::Bridge;
use super::change::{Batch, parse_mac};
use super::error::NetworkError;
use super::metadata::Metadata;
use super::namespace::{self, Namespace};
use super::netlink::Socket;
use super::pool::{self, Outer};
use super::ports::{self, Held};
use super::reaper::Remains;
use super::record::{Interface, Naming, Record};
use super::resolver::Resolver;

mod interface;
mod plug;
mod way_out;

pub(super) use interface::addresses;
use interface::attachment;
use plug::{allow_ipv6, forget_neighbours, full, has_ipv6, plug_in};
use way_out::{published_by, target, way_out, way_out6};

/// A sandbox in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) record: Record,
    pub(super) namespace: Namespace,
    pub(super) held: Vec<Held>,
    pub(super) resolver: Option<Resolver>,
    pub(super) metadata: Option<Metadata>,
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
        let interfaces = interface::all(instance, endpoints)?;
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
                    asks: instance.spec.guest.is_some(),
                };
                let mut live = Live {
                    record,
                    namespace: ready.namespace,
                    held,
                    resolver: None,
                    metadata: None,
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
        // Before another is made, which may be called as this one was.
        let name = &live.record.interfaces[0].name;
        if name != pool::INTERFACE {
            let mut batch = Batch::default();
            batch.rename(first.inner_index, name);
            socket.run(batch)?;
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
            self.seat(interface, &bridges[at])?;
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
        if live.record.interfaces.iter().any(has_ipv6) {
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
        self.start_resolver(live)?;
        self.start_metadata(live, false)
    }

    /// Listens for an instance's questions about itself, where it is told something.
    pub(super) fn start_metadata(
        &self,
        live: &mut Live,
        rules_stand: bool,
    ) -> Result<(), NetworkError> {
        if live.record.asks {
            live.metadata = Some(Metadata::start(
                live.namespace.fd.as_fd(),
                live.record.instance,
                &self.asked,
                &self.runtime,
                rules_stand,
            )?);
        }
        Ok(())
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
            metadata,
        } = live;
        drop((resolver, metadata));
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
        let mut interface = interface::further(instance, endpoint, &live.record.interfaces)?;
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
            self.seat(&mut interface, &bridge)?;
            self.plug_in(&interface, &bridge)?;
            if has_ipv6(&interface) {
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

    /// Gives a sandbox the name of the instance's record, and its links.
    pub(super) fn rename(&self, live: &mut Live, instance: &Instance) -> Result<(), NetworkError> {
        instance.meta.name.clone_into(&mut live.record.naming.name);
        for interface in &mut live.record.interfaces {
            interface.links = attachment(instance, &interface.endpoint)
                .map(|attachment| attachment.links.clone())
                .unwrap_or_default();
        }
        for interface in &live.record.interfaces {
            self.enter_names(&live.record, interface);
        }
        self.start_resolver(live)?;
        self.sandboxes.put(live.record.instance, &live.record)
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

/// Where a recorded namespace is mounted.
pub(super) fn path(directory: &std::path::Path, record: &Record) -> PathBuf {
    directory.join(&record.netns)
}

//! Networks on the node: each one's bridge, the node's addresses on it, and its firewall elements.
//!
//! The bridge is found by its name, so making it twice is making it once. [`super::Networks`]
//! keeps the bridges it made; records outlive the daemon in `run/networks`.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use model::Id;
use model::instance::Endpoint;
use model::network::{Driver, Network, Routing};
use model::subnet::Route;
use serde::{Deserialize, Serialize};

use super::annex::Annex;
use super::change::{Batch, Mac};
use super::error::NetworkError;
use super::firewall::{Element, Set};
use super::netlink::Socket;
use super::pool::set_parameter;
use super::{Inner, forwarding};

/// The most ports a bridge can have (`BR_MAX_PORTS`, net/bridge/br_private.h).
pub(super) const PORT_LIMIT: usize = 1023;

/// A network's bridge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bridge {
    /// The network it is for.
    pub(super) network: Network,
    /// Its interface.
    pub(super) name: String,
    /// Index of the interface, in this boot of the node.
    pub(super) index: u32,
    /// We made it; one that was there before is left when the network goes.
    pub(super) ours: bool,
    /// Its conntrack zone, where others may have its addresses.
    #[serde(default)]
    pub(super) zone: Option<u16>,
    /// Where more interfaces are than it takes itself.
    #[serde(default)]
    pub(super) annexes: Vec<Annex>,
}

/// Whether ports of a network may have firewalls: then the packet filter sees what it forwards.
pub(super) const fn is_filtered(network: &Network) -> bool {
    matches!(network.spec.routing, Routing::Routers) || network.spec.port_security
}

/// Whether a network is a bridge of this node at all.
pub(super) fn is_bridged(network: &Network) -> bool {
    network.spec.driver == Driver::Bridge
}

fn name(network: &Network, prefix: &str) -> Result<String, NetworkError> {
    let name = match &network.spec.bridge_name {
        Some(name) => name.clone(),
        None if network.spec.predefined && !network.spec.external => format!("{prefix}0"),
        None => format!("{prefix}{}", &network.meta.id.simple()[..8]),
    };
    // What the kernel refuses (dev_valid_name), and what would need quoting in a firewall rule.
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    if fits
        && name.bytes().all(|byte| {
            byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'"' | b'\\' | b'*')
        })
    {
        Ok(name)
    } else {
        Err(NetworkError::InterfaceName { name })
    }
}

/// The bridge's own hardware address, fixed so that it does not follow its ports'.
fn mac(network: &Network) -> Mac {
    let [.., a, b, c, d] = *network.meta.id.as_bytes();
    [0x02, 0x42, a, b, c, d]
}

/// Lets the node forward IPv6.
///
/// A node that forwards takes no more routes from its routers (`accept_ra` 1, ip-sysctl.rst), and
/// would lose its own way out: interfaces that did go on to (2).
fn forward_ipv6() -> Result<(), NetworkError> {
    let root = std::path::Path::new("/proc/sys/net/ipv6/conf");
    let is = |file: &std::path::Path, wanted: &str| {
        std::fs::read_to_string(file).is_ok_and(|value| value.trim() == wanted)
    };
    if !is(&root.join("all/forwarding"), "0") {
        return Ok(());
    }
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is(&entry.path().join("accept_ra"), "1") {
            set_parameter(&format!("ipv6/conf/{name}/accept_ra"), "2")?;
        }
    }
    set_parameter("ipv6/conf/all/forwarding", "1")
}

/// Has the kernel able to hand what bridges forward to the packet filter; only those that ask for
/// it do.
fn filter_bridges() -> Result<(), NetworkError> {
    let settings = std::path::Path::new("/proc/sys/net/bridge");
    if settings.exists() {
        return Ok(());
    }
    let failed = |source| NetworkError::BridgeFilter { source };
    let loaded = std::process::Command::new("modprobe")
        .arg("br_netfilter")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(failed)?;
    if !loaded.status.success() {
        let words = String::from_utf8_lossy(&loaded.stderr).trim().to_owned();
        return Err(failed(std::io::Error::other(words)));
    }
    // The module begins with all bridges.
    for family in ["iptables", "ip6tables", "arptables"] {
        set_parameter(&format!("bridge/bridge-nf-call-{family}"), "0")?;
    }
    Ok(())
}

/// The addresses that the node has on a network, with their prefix lengths.
fn nodes_addresses(network: &Network) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
    let is_routed_here = network.spec.routing == Routing::Node;
    let subnets = network.spec.subnets.iter().filter(move |_| is_routed_here);
    subnets.filter_map(|subnet| Some((subnet.gateway?, subnet.cidr.prefix())))
}

impl Bridge {
    /// Makes the bridge with its addresses, or mends the one that is there.
    pub(super) fn make(
        host: &mut Socket,
        network: &Network,
        prefix: &str,
        alias: &str,
    ) -> Result<Self, NetworkError> {
        let name = name(network, prefix)?;
        let mut was_there = true;
        let (link, ours) = match host.link(&name)? {
            Some(link) if !link.is_bridge => return Err(NetworkError::NotABridge { name }),
            Some(link) => {
                let ours = link.alias.as_deref() == Some(alias);
                (link, ours)
            }
            None => {
                was_there = false;
                let mut batch = Batch::default();
                batch.add_bridge(&name, mac(network), network.spec.mtu);
                host.run(batch)?;
                let link = host.found(&name)?;
                let mut batch = Batch::default();
                batch.set_alias(link.index, &name, alias);
                host.run(batch)?;
                (link, true)
            }
        };
        if network.spec.routing == Routing::Node {
            // Lets programs of the node reach ports published on 127.0.0.1; the firewall guards the rest.
            set_parameter(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
            if was_there {
                // Routers may have led to it before.
                set_parameter(&format!("ipv4/conf/{name}/arp_ignore"), "0")?;
                set_parameter(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
            }
        }
        set_parameter(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        if network.spec.routing == Routing::Routers {
            // The node answers to nobody on it.
            set_parameter(&format!("ipv4/conf/{name}/arp_ignore"), "8")?;
            set_parameter(&format!("ipv6/conf/{name}/disable_ipv6"), "1")?;
        } else if !network.spec.internal
            && network
                .spec
                .subnets
                .iter()
                .any(|subnet| subnet.cidr.address().is_ipv6())
        {
            forward_ipv6()?;
        }
        let mut batch = Batch::default();
        if let Some(mtu) = network.spec.mtu {
            batch.set_mtu(link.index, &name, mtu);
        }
        for (gateway, prefix) in nodes_addresses(network) {
            batch.add_address(link.index, gateway, prefix);
        }
        if is_filtered(network) {
            filter_bridges()?;
            batch.set_filtered(link.index, &name, true);
        }
        batch.up(link.index, &name);
        host.run(batch)?;
        Ok(Self {
            network: network.clone(),
            name,
            index: link.index,
            ours,
            zone: None,
            annexes: Vec::new(),
        })
    }

    /// Takes over what belonged to the network's bridge before.
    pub(super) fn taking_over(
        mut self,
        before: &Self,
        host: &mut Socket,
        alias: &str,
    ) -> Result<Self, NetworkError> {
        self.zone = before.zone;
        for annex in &before.annexes {
            let annex = annex.mended(&self, host, alias)?;
            self.annexes.push(annex);
        }
        Ok(self)
    }

    /// Its elements in the firewall, and those of its annexes: where the node filters what bridges
    /// forward (`bridge-nf-call-iptables`), a packet is looked at on each.
    pub(super) fn elements(&self) -> Vec<Element> {
        let annexes = self.annexes.iter().map(Annex::name);
        let names = std::iter::once(self.name.as_str()).chain(annexes);
        names.flat_map(|name| self.elements_on(name)).collect()
    }

    fn elements_on(&self, name: &str) -> Vec<Element> {
        let spec = &self.network.spec;
        let quoted = format!("\"{name}\"");
        let mut elements = vec![Element::new(Set::Bridges, quoted.clone())];
        if spec.inter_instance {
            elements.push(Element::new(Set::Inside, format!("{quoted} . {quoted}")));
        }
        if spec.internal {
            elements.push(Element::new(Set::Internal, quoted.clone()));
        }
        if spec.routing == Routing::Routers {
            elements.push(Element::new(Set::Closed, quoted));
            return elements;
        }
        if spec.external {
            elements.push(Element::new(Set::External, quoted.clone()));
        }
        for subnet in &spec.subnets {
            let (own, masquerade) = match subnet.cidr.address() {
                IpAddr::V4(_) => (Set::Own4, Set::Masquerade4),
                IpAddr::V6(_) => (Set::Own6, Set::Masquerade6),
            };
            elements.push(Element::new(own, format!("{} . {quoted}", subnet.cidr)));
            if spec.masquerade && !spec.internal {
                elements.push(Element::new(masquerade, subnet.cidr.to_string()));
            }
        }
        elements
    }

    /// Those of some addresses to which the node itself speaks: all where it routes.
    pub(super) fn spoken_to<'a>(
        &self,
        addresses: &'a [(IpAddr, u8)],
    ) -> impl Iterator<Item = (IpAddr, u8)> + 'a {
        let is_routed_here = self.network.spec.routing == Routing::Node;
        addresses.iter().copied().filter(move |_| is_routed_here)
    }

    /// The way out of the network in one family, for whoever has an endpoint's addresses.
    pub(super) fn gateway(&self, endpoint: &Endpoint, v4: bool) -> Option<IpAddr> {
        let spec = &self.network.spec;
        let mut own = endpoint.addresses().filter(|(at, _)| at.is_ipv4() == v4);
        own.find_map(|(address, _)| spec.subnet_of(address)?.gateway)
            .filter(|_| !spec.internal)
    }

    /// The further ways that whoever has an endpoint's addresses is told.
    pub(super) fn routes(&self, endpoint: &Endpoint) -> Vec<Route> {
        let subnets = self.network.spec.subnets.iter();
        let own = subnets.filter(|subnet| {
            let mut addresses = endpoint.addresses();
            addresses.any(|(address, _)| subnet.cidr.contains(address))
        });
        own.flat_map(|subnet| subnet.routes.clone()).collect()
    }
}

impl Inner {
    /// Lets our traffic pass beside dockerd's rules.
    pub(super) fn pass_forwarding(&self) {
        let bridges = self.bridges();
        // After a shutdown there is nothing to let pass.
        if !bridges.is_empty() {
            forwarding::pass(&self.prefix, &self.foreign_names(&bridges));
        }
    }

    /// Bridges whose names do not begin with the prefix.
    pub(super) fn foreign_names(&self, bridges: &HashMap<Id, Bridge>) -> BTreeSet<String> {
        bridges
            .values()
            .map(|bridge| bridge.name.clone())
            .filter(|name| !name.starts_with(&self.prefix))
            .collect()
    }

    pub(super) fn ensure(&self, network: &Network) -> Result<Option<Bridge>, NetworkError> {
        if !is_bridged(network) {
            return Ok(None);
        }
        // One at a time, so that two do not make the same bridge.
        let mut bridges = self.bridges();
        if let Some(bridge) = bridges
            .get(&network.meta.id)
            .filter(|bridge| bridge.network.spec == network.spec)
        {
            // Somebody may have removed it.
            if self
                .host()
                .link(&bridge.name)?
                .is_some_and(|link| link.index == bridge.index)
            {
                return Ok(Some(bridge.clone()));
            }
        }
        let is_first = bridges.is_empty() || network.spec.bridge_name.is_some();
        let mut bridge = Bridge::make(&mut self.host(), network, &self.prefix, &self.alias)?;
        if let Some(known) = bridges.get(&network.meta.id) {
            bridge = bridge.taking_over(known, &mut self.host(), &self.alias)?;
        }
        if network.spec.routing == Routing::Routers {
            bridge.zone = bridge.zone.or_else(|| Some(self.guards.free_zone()));
            self.guards.set_zone(&bridge.name, bridge.zone)?;
        }
        let old = bridges
            .get(&network.meta.id)
            .map(Bridge::elements)
            .unwrap_or_default();
        let new = bridge.elements();
        let stale: Vec<_> = old
            .into_iter()
            .filter(|element| !new.contains(element))
            .collect();
        self.firewall.change(&new, &stale)?;
        self.networks.put(network.meta.id, &bridge)?;
        bridges.insert(network.meta.id, bridge.clone());
        drop(bridges);
        if is_first {
            self.pass_forwarding();
        }
        Ok(Some(bridge))
    }

    pub(super) fn remove(&self, id: Id) -> Result<(), NetworkError> {
        let mut bridges = self.bridges();
        let Some(bridge) = bridges.get(&id) else {
            return Ok(());
        };
        let mut batch = Batch::default();
        for annex in &bridge.annexes {
            annex.remove(&mut batch);
        }
        if bridge.ours {
            batch.delete_link(&bridge.name);
        }
        self.host().run(batch)?;
        self.firewall.change(&[], &bridge.elements())?;
        self.guards.set_zone(&bridge.name, None)?;
        self.networks.remove(id)?;
        bridges.remove(&id);
        Ok(())
    }

    /// A network's bridge, where it has one.
    pub(super) fn bridge(&self, network: Id) -> Option<Bridge> {
        self.bridges().get(&network).cloned()
    }

    /// The bridge for an endpoint, made if need be.
    pub(super) fn bridge_of(
        &self,
        endpoint: &Endpoint,
        networks: &[Network],
    ) -> Result<Bridge, NetworkError> {
        let unknown = NetworkError::UnknownNetwork {
            network: endpoint.network,
        };
        if let Some(bridge) = self.bridge(endpoint.network) {
            return Ok(bridge);
        }
        let network = networks
            .iter()
            .find(|network| network.meta.id == endpoint.network);
        match network {
            Some(network) => self.ensure(network)?.ok_or(unknown),
            None => Err(unknown),
        }
    }
}

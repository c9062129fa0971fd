//! Routers: a network namespace each, with a leg on every network it joins.
//!
//! What goes in or out of the external network is translated there, so that the addresses inside
//! are nobody else's business; a floating address is one more address of the external leg. Making
//! a router twice is making it once: [`Inner::set_router`] compares what there is with what is
//! wanted, and mends. Records in `run/routers` outlive the daemon.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use model::Id;
use model::network::Network;
use model::subnet::Route;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::change::{Batch, Port, parse_mac};
use super::error::NetworkError;
use super::firewall;
use super::namespace::{self, Namespace};
use super::netlink::Socket;
use super::pool::set_parameter;
use super::reaper::Remains;

/// What a router is to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RouterPlan {
    /// Which one.
    pub id: Id,
    /// It carries packets.
    pub up: bool,
    /// Its legs, the external one among them.
    pub legs: Vec<LegPlan>,
    /// The port that is its way out.
    pub gateway: Option<Id>,
    /// What leaves has the router's own address.
    pub snat: bool,
    /// Further ways.
    pub routes: Vec<Route>,
    /// Addresses of the external network, and those inside that they lead to.
    pub floating: Vec<(IpAddr, IpAddr)>,
}

/// A router's place on a network.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LegPlan {
    /// The port.
    pub port: Id,
    /// The network.
    pub network: Network,
    /// Hardware address.
    pub mac: String,
    /// Addresses, with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A router on this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// What it is.
    pub(super) plan: RouterPlan,
    /// File name of its namespace.
    pub(super) netns: String,
    /// Its legs that exist.
    pub(super) legs: Vec<Leg>,
}

/// A leg that exists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leg {
    plan: LegPlan,
    /// Its name inside.
    name: String,
    /// Name of its other end, on the node.
    outer: String,
    /// Index of its other end.
    pub(super) outer_index: u32,
    /// Addresses that it has beside those of its plan.
    floating: Vec<IpAddr>,
}

/// A router in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) record: Record,
    pub(super) namespace: Namespace,
}

impl Inner {
    /// Makes a router what it is to be.
    pub(super) fn set_router(&self, plan: &RouterPlan) -> Result<(), NetworkError> {
        let mut routers = self.routers();
        let mut live = match routers.remove(&plan.id) {
            Some(live) if live.record.plan == *plan && self.has_all_legs(&live.record)? => {
                routers.insert(plan.id, live);
                return Ok(());
            }
            Some(live) => live,
            None => self.new_router(plan)?,
        };
        let made = self.shape(&mut live, plan);
        if made.is_ok() {
            live.record.plan = plan.clone();
        }
        let written = self.router_records.put(plan.id, &live.record);
        routers.insert(plan.id, live);
        made.and(written)
    }

    /// Whether nobody removed a leg of a router.
    fn has_all_legs(&self, record: &Record) -> Result<bool, NetworkError> {
        let mut host = self.host();
        for leg in &record.legs {
            let link = host.link(&leg.outer)?;
            if link.is_none_or(|link| link.index != leg.outer_index) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn new_router(&self, plan: &RouterPlan) -> Result<Live, NetworkError> {
        let netns = format!("r{:015x}", rand::random::<u64>() >> 4);
        let path = self.directory.join(&netns);
        let (namespace, ()) = Namespace::make(path, || {
            for (file, value) in [
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                // Nobody told it so by an announcement.
                ("ipv6/conf/default/accept_ra", "0"),
                ("ipv4/conf/default/arp_notify", "1"),
                // It answers on a leg for that leg's addresses only.
                ("ipv4/conf/all/arp_ignore", "1"),
            ] {
                set_parameter(file, value)?;
            }
            Ok(())
        })?;
        let record = Record {
            plan: plan.clone(),
            netns,
            legs: Vec::new(),
        };
        Ok(Live { record, namespace })
    }

    /// Removes legs that are not wanted, adds those that are missing, and replaces ways and rules.
    fn shape(&self, live: &mut Live, plan: &RouterPlan) -> Result<(), NetworkError> {
        let mut socket = inside(&live.namespace)?;
        let mut gone = Vec::new();
        let mut host = self.host();
        let mut kept = Vec::new();
        for leg in std::mem::take(&mut live.record.legs) {
            let is_there = host
                .link(&leg.outer)?
                .is_some_and(|link| link.index == leg.outer_index);
            if is_there && plan.legs.contains(&leg.plan) {
                kept.push(leg);
            } else {
                gone.push(leg);
            }
        }
        drop(host);
        live.record.legs = kept;
        self.unplug_legs(&gone)?;
        for wanted in &plan.legs {
            let has = |leg: &Leg| leg.plan.port == wanted.port;
            if !live.record.legs.iter().any(has) {
                let leg = self.plug_leg(live, &mut socket, wanted)?;
                live.record.legs.push(leg);
            }
        }
        self.float(live, &mut socket, plan)?;
        self.lead(live, &mut socket, plan)?;
        let text = rules(plan, &live.record.legs);
        let forwards = if plan.up { "1" } else { "0" };
        namespace::within(live.namespace.fd.as_fd(), || {
            firewall::run(&text)?;
            set_parameter("ipv4/ip_forward", forwards)?;
            set_parameter("ipv6/conf/all/forwarding", forwards)
        })
    }

    /// Adds a leg.
    fn plug_leg(
        &self,
        live: &Live,
        socket: &mut Socket,
        plan: &LegPlan,
    ) -> Result<Leg, NetworkError> {
        let mac = parse_mac(&plan.mac)?;
        let bridge = self
            .ensure(&plan.network)?
            .ok_or(NetworkError::UnknownNetwork {
                network: plan.network.meta.id,
            })?;
        let name = format!("l{}", &plan.port.simple()[..11]);
        let made = self
            .pool
            .maker()
            .pair(&mut self.host(), &live.namespace, socket, &name)?;
        let (outer, inner) = made;
        let plugged = (|| {
            let mtu = plan.network.spec.mtu;
            let (mut outside, mut inside) = (Batch::default(), Batch::default());
            let port = Port {
                isolated: false,
                open: false,
                hairpin: false,
            };
            outside.enslave(outer.index, &outer.name, bridge.index, mtu, port);
            outside.add_forwarding(outer.index, &outer.name, mac);
            for (address, _) in bridge.spoken_to(&plan.addresses) {
                outside.add_neighbour(bridge.index, address, mac);
            }
            inside.dress(inner, &name, mac, mtu);
            for (address, prefix) in &plan.addresses {
                inside.add_address(inner, *address, *prefix);
            }
            inside.up(inner, &name);
            for (address, prefix) in plan.addresses.iter().filter(|(at, _)| at.is_ipv6()) {
                inside.add_address(inner, *address, *prefix);
            }
            self.host().run(outside)?;
            socket.run(inside)?;
            self.host().settle(&[outer.index, bridge.index])?;
            socket.settle(&[inner])
        })();
        if let Err(error) = plugged {
            self.reaper.hand_over(Remains {
                interfaces: vec![outer.index],
                namespace: None,
            });
            return Err(error);
        }
        Ok(Leg {
            plan: plan.clone(),
            name,
            outer: outer.name,
            outer_index: outer.index,
            floating: Vec::new(),
        })
    }

    /// Takes legs away.
    fn unplug_legs(&self, legs: &[Leg]) -> Result<(), NetworkError> {
        let mut batch = Batch::default();
        for leg in legs {
            if let Some(bridge) = self.bridge(leg.plan.network.meta.id) {
                for (address, _) in bridge.spoken_to(&leg.plan.addresses) {
                    batch.delete_neighbour(bridge.index, address);
                }
                for address in &leg.floating {
                    batch.delete_neighbour(bridge.index, *address);
                }
            }
            batch.delete_link(&leg.outer);
        }
        self.host().run(batch)
    }

    /// Gives the external leg the floating addresses, and those only.
    fn float(
        &self,
        live: &mut Live,
        socket: &mut Socket,
        plan: &RouterPlan,
    ) -> Result<(), NetworkError> {
        let wanted: BTreeSet<IpAddr> = plan.floating.iter().map(|(outside, _)| *outside).collect();
        for leg in &mut live.record.legs {
            let wanted = if plan.gateway == Some(leg.plan.port) {
                wanted.clone()
            } else {
                BTreeSet::new()
            };
            let has: BTreeSet<IpAddr> = leg.floating.iter().copied().collect();
            if has == wanted {
                continue;
            }
            let Some(link) = socket.link(&leg.name)? else {
                continue;
            };
            let mac = parse_mac(&leg.plan.mac)?;
            let bridge = self.bridge(leg.plan.network.meta.id);
            let (mut outside, mut inside) = (Batch::default(), Batch::default());
            for address in has.difference(&wanted) {
                inside.delete_address(link.index, *address, whole(*address));
                if let Some(bridge) = &bridge {
                    outside.delete_neighbour(bridge.index, *address);
                }
            }
            for address in wanted.difference(&has) {
                inside.add_address(link.index, *address, whole(*address));
                if let Some(bridge) = &bridge {
                    outside.add_neighbour(bridge.index, *address, mac);
                }
            }
            socket.run(inside)?;
            self.host().run(outside)?;
            leg.floating = wanted.into_iter().collect();
        }
        Ok(())
    }

    /// Sets the way out and the further ways. Those of before go.
    fn lead(
        &self,
        live: &Live,
        socket: &mut Socket,
        plan: &RouterPlan,
    ) -> Result<(), NetworkError> {
        let old = &live.record.plan;
        let mut batch = Batch::default();
        for route in old
            .routes
            .iter()
            .filter(|route| !plan.routes.contains(route))
        {
            batch.delete_route(route);
        }
        for leg in &live.record.legs {
            let Some(link) = socket.link(&leg.name)? else {
                continue;
            };
            if plan.gateway == Some(leg.plan.port) {
                for v4 in [true, false] {
                    let has = leg.plan.addresses.iter().any(|(at, _)| at.is_ipv4() == v4);
                    if let Some(gateway) = leg.plan.network.spec.gateway(v4).filter(|_| has) {
                        batch.add_default_route(link.index, gateway);
                    }
                }
            }
        }
        for route in &plan.routes {
            batch.add_route(route, &[]);
        }
        socket.run(batch)
    }

    /// Removes a router; none is fine.
    pub(super) fn remove_router(&self, id: Id) -> Result<(), NetworkError> {
        let mut routers = self.routers();
        let Some(live) = routers.get(&id) else {
            return Ok(());
        };
        self.unplug_legs(&live.record.legs)?;
        Namespace::release(&live.namespace.path)?;
        self.router_records.remove(id)?;
        routers.remove(&id);
        Ok(())
    }
}

/// Talks to the kernel inside.
fn inside(namespace: &Namespace) -> Result<Socket, NetworkError> {
    namespace::within(namespace.fd.as_fd(), || {
        Socket::open().map_err(|source| NetworkError::Namespace {
            attempt: "talk to",
            source,
        })
    })
}

/// The prefix of a single address.
const fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The rules inside: translation of what passes the external leg.
///
/// What comes for a floating address goes to the one inside; what leaves from there bears it. The
/// rest bears the router's own, unless that is off. Who reaches a floating address from inside is
/// hidden likewise, so that the answer comes back the same way. New connections from outside reach
/// floating addresses only.
fn rules(plan: &RouterPlan, legs: &[Leg]) -> String {
    let mut script =
        "table inet router\ndelete table inet router\ntable inet router {\n".to_owned();
    let external = legs.iter().find(|leg| Some(leg.plan.port) == plan.gateway);
    let pairs = |left_is_outside: bool| {
        let mut text = String::new();
        for (outside, inside) in plan.floating.iter().filter(|(at, _)| at.is_ipv4()) {
            let _ = if left_is_outside {
                write!(text, "{outside} : {inside}, ")
            } else {
                write!(text, "{inside} : {outside}, ")
            };
        }
        text
    };
    if !plan.floating.is_empty() {
        let _ = write!(
            script,
            "    map inward {{ type ipv4_addr : ipv4_addr; elements = {{ {} }} }}
    map outward {{ type ipv4_addr : ipv4_addr; elements = {{ {} }} }}
    chain arrive {{
        type nat hook prerouting priority dstnat; policy accept;
        dnat ip to ip daddr map @inward
    }}
    chain local {{
        type nat hook output priority -100; policy accept;
        dnat ip to ip daddr map @inward
    }}
",
            pairs(true),
            pairs(false)
        );
    }
    if let Some(leg) = external {
        let name = &leg.name;
        let own = leg.plan.addresses.iter().map(|(address, _)| *address);
        let own: Vec<IpAddr> = own.filter(IpAddr::is_ipv4).collect();
        script.push_str(
            "    chain leave {\n        type nat hook postrouting priority srcnat; policy accept;\n",
        );
        if !plan.floating.is_empty() {
            let _ = writeln!(
                script,
                "        oifname \"{name}\" snat ip to ip saddr map @outward"
            );
            let _ = writeln!(
                script,
                "        ct status dnat iifname != \"{name}\" snat ip to ip saddr map @outward"
            );
        }
        if let Some(address) = own.first() {
            if plan.snat {
                let _ = writeln!(
                    script,
                    "        oifname \"{name}\" ip saddr != {address} snat ip to {address}"
                );
            }
            let _ = writeln!(
                script,
                "        ct status dnat iifname != \"{name}\" snat ip to {address}"
            );
        }
        let _ = writeln!(
            script,
            "    }}
    chain pass {{
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
        iifname \"{name}\" ct status dnat accept"
        );
        if plan.snat {
            let _ = writeln!(script, "        iifname \"{name}\" meta nfproto ipv4 drop");
        }
        script.push_str("    }\n");
    }
    script.push_str("}\n");
    script
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::network::NetworkSpec;
    use model::{Meta, ProjectId};

    use super::*;

    fn leg(port: Id) -> Leg {
        let network = Network {
            meta: Meta::new("public", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec: NetworkSpec::default(),
        };
        Leg {
            plan: LegPlan {
                port,
                network,
                mac: "fa:16:3e:00:00:01".to_owned(),
                addresses: vec![("172.24.4.9".parse().unwrap(), 24)],
            },
            name: "lext".to_owned(),
            outer: "tv1".to_owned(),
            outer_index: 7,
            floating: Vec::new(),
        }
    }

    fn plan(gateway: Option<Id>, snat: bool) -> RouterPlan {
        RouterPlan {
            id: Id::random(),
            up: true,
            legs: Vec::new(),
            gateway,
            snat,
            routes: Vec::new(),
            floating: vec![("172.24.4.20".parse().unwrap(), "10.0.0.5".parse().unwrap())],
        }
    }

    #[test]
    fn a_floating_address_leads_both_ways() {
        let port = Id::random();
        let text = rules(&plan(Some(port), true), &[leg(port)]);
        for expected in [
            "172.24.4.20 : 10.0.0.5",
            "10.0.0.5 : 172.24.4.20",
            "oifname \"lext\" ip saddr != 172.24.4.9 snat ip to 172.24.4.9",
            "iifname \"lext\" meta nfproto ipv4 drop",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn without_translation_addresses_inside_are_reached_as_they_are() {
        let port = Id::random();
        let text = rules(&plan(Some(port), false), &[leg(port)]);
        assert!(!text.contains("ip saddr != 172.24.4.9"), "{text}");
        assert!(!text.contains("meta nfproto ipv4 drop"), "{text}");
        let closed = RouterPlan {
            floating: Vec::new(),
            ..plan(None, true)
        };
        assert!(!rules(&closed, &[]).contains("chain"));
    }
}

//! The elements of sets and maps that one port contributes. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::Id;
use model::network::Cidr;
use model::port::AddressPair;

use super::{Guard, Plug};
use crate::network::change::parse_mac;
use crate::network::nftables::{Data, Family, Place, Transaction};

/// Longest name of an interface, with its final zero (`IFNAMSIZ`).
const NAME_BYTES: usize = 16;

/// An element of a set or map of one of the two tables.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Element {
    pub(super) family: Family,
    pub(super) set: String,
    /// As nft writes it.
    pub(super) text: String,
    key: Vec<u8>,
    data: Data,
    /// The firewall whose members' set it is of.
    of: Option<Id>,
    /// It is a range, which only nft's language is used for.
    interval: bool,
}

impl Element {
    pub(super) fn add(&self, transaction: &mut Transaction, table: &str) {
        transaction.add_element(&self.place(table), &self.key, &self.data);
    }

    pub(super) fn delete(&self, transaction: &mut Transaction, table: &str) {
        transaction.delete_element(&self.place(table), &self.key);
    }

    fn place<'a>(&'a self, table: &'a str) -> Place<'a> {
        Place {
            family: self.family,
            table,
            set: &self.set,
        }
    }

    pub(super) const fn is_interval(&self) -> bool {
        self.interval
    }

    /// Whether its set exists: that of a firewall's members does where the firewall is in use.
    pub(super) fn is_declared(&self, firewalls: &BTreeSet<Id>) -> bool {
        self.of.is_none_or(|of| firewalls.contains(&of))
    }

    fn of_bridge(set: &str, text: String, key: Vec<u8>) -> Self {
        Self {
            family: Family::Bridge,
            set: set.to_owned(),
            text,
            key,
            data: Data::None,
            of: None,
            interval: false,
        }
    }

    fn of_inet(set: String, text: String, key: Vec<u8>, data: Data) -> Self {
        Self {
            family: Family::Inet,
            set,
            text,
            key,
            data,
            of: None,
            interval: false,
        }
    }
}

/// Name of the set of a firewall's members of one family.
pub(super) fn members(firewall: Id, is_v4: bool) -> String {
    format!("m{}_{}", if is_v4 { 4 } else { 6 }, firewall.simple())
}

/// What a port contributes at its place, with the number of its list of firewalls.
pub(super) fn of_port(guard: &Guard, plug: &Plug, profile: usize) -> Vec<Element> {
    let interface = format!("\"{}\"", plug.interface);
    if !guard.up {
        return vec![Element::of_bridge("shut", interface, name(&plug.interface))];
    }
    if !guard.secure {
        return Vec::new();
    }
    let mut elements = vec![Element::of_bridge(
        "secure",
        interface,
        name(&plug.interface),
    )];
    elements.extend(sources(guard, plug));
    elements.push(Element::of_inet(
        "bridges".to_owned(),
        format!("\"{}\"", plug.bridge),
        name(&plug.bridge),
        Data::None,
    ));
    for address in &guard.addresses {
        elements.extend(firewalled(plug, *address, profile));
        for firewall in &guard.firewalls {
            elements.push(Element {
                of: Some(*firewall),
                ..Element::of_inet(
                    members(*firewall, address.is_ipv4()),
                    address.to_string(),
                    octets(*address),
                    Data::None,
                )
            });
        }
    }
    for pair in &guard.pairs {
        // A single address is guarded as the port's own; a range passes the port's rules as whoever
        // else on the network: unfirewalled, as it has no place of its own.
        if let Some(address) = single(pair.cidr) {
            elements.extend(firewalled(plug, address, profile));
        }
    }
    elements.sort();
    elements.dedup();
    elements
}

/// The sources that a port may send from.
fn sources(guard: &Guard, plug: &Plug) -> Vec<Element> {
    let own = guard
        .addresses
        .iter()
        .map(|address| (guard.mac.as_str(), Cidr::new(*address, length(*address))));
    let mac_of = |pair: &AddressPair| pair.mac.clone().unwrap_or_else(|| guard.mac.clone());
    // The kernel takes no two ranges that overlap.
    let covered = |pair: &AddressPair| {
        guard.pairs.iter().any(|other| {
            mac_of(other) == mac_of(pair)
                && other.cidr.prefix() < pair.cidr.prefix()
                && other.cidr.contains(pair.cidr.address())
        })
    };
    let pairs = guard
        .pairs
        .iter()
        .filter(|pair| !covered(pair))
        .map(|pair| (pair.mac.as_deref().unwrap_or(&guard.mac), Some(pair.cidr)));
    let mut elements = Vec::new();
    let mut macs = vec![guard.mac.as_str()];
    for (mac, cidr) in own.chain(pairs) {
        let Some(cidr) = cidr else { continue };
        macs.push(mac);
        elements.extend(source(plug, mac, cidr));
    }
    for mac in macs {
        // Whoever speaks IPv6 speaks by its link-local address first (RFC 4291, appendix A).
        if let Some(local) = link_local(mac) {
            elements.extend(source(plug, mac, local));
        }
        if let Ok(bytes) = parse_mac(mac) {
            let key = [name(&plug.interface), padded(&bytes)].concat();
            let text = format!("\"{}\" . {mac}", plug.interface);
            elements.push(Element::of_bridge("own_mac", text, key));
        }
    }
    elements
}

/// One source: a single address in an exact set, a range in an interval one.
fn source(plug: &Plug, mac: &str, cidr: Cidr) -> Vec<Element> {
    let Ok(bytes) = parse_mac(mac) else {
        return Vec::new();
    };
    let family = if cidr.address().is_ipv4() { 4 } else { 6 };
    let Some(address) = single(cidr) else {
        let text = format!("\"{}\" . {mac} . {cidr}", plug.interface);
        return vec![Element {
            interval: true,
            ..Element::of_bridge(&format!("wide{family}"), text, Vec::new())
        }];
    };
    let key = [name(&plug.interface), padded(&bytes), octets(address)].concat();
    let text = format!("\"{}\" . {mac} . {address}", plug.interface);
    let mut elements = vec![Element::of_bridge(
        &format!("own{family}"),
        text,
        key.clone(),
    )];
    if let IpAddr::V6(v6) = address {
        let text = format!("\"{}\" . {mac} . {:#x}", plug.interface, u128::from(v6));
        elements.push(Element::of_bridge("own_nd", text, key));
    }
    elements
}

/// Has an address's packets pass the chains of a list of firewalls.
fn firewalled(plug: &Plug, address: IpAddr, profile: usize) -> Vec<Element> {
    let family = if address.is_ipv4() { 4 } else { 6 };
    let key = [name(&plug.bridge), octets(address)].concat();
    [("from", "out"), ("to", "in")]
        .map(|(set, chain)| {
            let chain = format!("{chain}_{profile}");
            let text = format!("\"{}\" . {address} : jump {chain}", plug.bridge);
            Element::of_inet(
                format!("{set}{family}"),
                text,
                key.clone(),
                Data::Jump(chain),
            )
        })
        .to_vec()
}

fn single(cidr: Cidr) -> Option<IpAddr> {
    (cidr.prefix() == length(cidr.address())).then_some(cidr.address())
}

const fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The link-local address that follows from a hardware address (RFC 4291, appendix A).
fn link_local(mac: &str) -> Option<Cidr> {
    let [a, b, c, d, e, f] = parse_mac(mac).ok()?;
    let octets = [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ];
    Cidr::new(IpAddr::from(octets), 128)
}

/// A name of an interface as the kernel compares it.
fn name(interface: &str) -> Vec<u8> {
    let mut bytes = interface.as_bytes().to_vec();
    bytes.resize(NAME_BYTES, 0);
    bytes
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard {
            port: Id::random(),
            mac: "fa:16:3e:00:00:01".to_owned(),
            addresses: vec!["10.0.0.5".parse().unwrap()],
            pairs: Vec::new(),
            secure: true,
            up: true,
            firewalls: vec![Id::random()],
        }
    }

    fn plug() -> Plug {
        Plug {
            interface: "tv1".to_owned(),
            bridge: "tb1".to_owned(),
        }
    }

    fn sets(guard: &Guard) -> Vec<String> {
        let elements = of_port(guard, &plug(), 3);
        let mut sets: Vec<_> = elements
            .into_iter()
            .map(|element| format!("{} {}", element.set, element.text))
            .collect();
        sets.sort();
        sets
    }

    #[test]
    fn a_port_sends_as_itself_and_passes_its_chains() {
        let guard = guard();
        let members = members(guard.firewalls[0], true);
        assert_eq!(
            sets(&guard),
            [
                "bridges \"tb1\"".to_owned(),
                "from4 \"tb1\" . 10.0.0.5 : jump out_3".to_owned(),
                format!("{members} 10.0.0.5"),
                "own4 \"tv1\" . fa:16:3e:00:00:01 . 10.0.0.5".to_owned(),
                "own6 \"tv1\" . fa:16:3e:00:00:01 . fe80::f816:3eff:fe00:1".to_owned(),
                "own_mac \"tv1\" . fa:16:3e:00:00:01".to_owned(),
                "own_nd \"tv1\" . fa:16:3e:00:00:01 . 0xfe80000000000000f8163efffe000001"
                    .to_owned(),
                "secure \"tv1\"".to_owned(),
                "to4 \"tb1\" . 10.0.0.5 : jump in_3".to_owned(),
            ]
        );
    }

    #[test]
    fn pairs_widen_what_a_port_may_send() {
        let pair = |cidr: &str, mac: Option<&str>| model::port::AddressPair {
            cidr: cidr.parse().unwrap(),
            mac: mac.map(str::to_owned),
            single: false,
        };
        let mut guard = guard();
        guard.pairs = vec![
            pair("10.0.0.9/32", None),
            pair("10.1.0.0/16", Some("00:00:5e:00:01:01")),
        ];
        let sets = sets(&guard);
        for expected in [
            "own4 \"tv1\" . fa:16:3e:00:00:01 . 10.0.0.9",
            "to4 \"tb1\" . 10.0.0.9 : jump in_3",
            "wide4 \"tv1\" . 00:00:5e:00:01:01 . 10.1.0.0/16",
            "own_mac \"tv1\" . 00:00:5e:00:01:01",
        ] {
            assert!(
                sets.iter().any(|set| set == expected),
                "{expected}: {sets:?}"
            );
        }
    }

    #[test]
    fn without_port_security_there_is_nothing_to_hold() {
        let mut guard = guard();
        guard.secure = false;
        assert!(sets(&guard).is_empty());
        guard.up = false;
        assert_eq!(sets(&guard), ["shut \"tv1\""]);
    }
}

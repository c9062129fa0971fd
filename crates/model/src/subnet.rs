//! A subnet: a range of addresses of one network, and what those who live in it are told.
//!
//! Subnets are kept in their network's record, so that one compare-and-swap decides whether two
//! overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::Id;
use crate::network::Cidr;

/// A range of addresses of one family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subnet {
    /// Its identity, among all subnets of all networks.
    pub id: Id,
    /// What a user calls it; may be empty, and need not be unique.
    #[serde(default)]
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// The range.
    pub cidr: Cidr,
    /// Its router: the default route of those who live in it.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Where addresses are taken from; none is the whole range.
    #[serde(default)]
    pub pools: Vec<AddressRange>,
    /// Addresses that are never given out, by name.
    #[serde(default)]
    pub reserved: BTreeMap<String, IpAddr>,
    /// Further routes of those who live in it.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Where those who live in it look names up.
    #[serde(default)]
    pub dns_servers: Vec<IpAddr>,
    /// A user wants addresses told by DHCP. They are set without; this is only remembered.
    #[serde(default)]
    pub dhcp: bool,
    /// How IPv6 addresses are meant to be chosen. They are set from outside, and are those that hosts
    /// would choose.
    #[serde(default)]
    pub ipv6_address_mode: Option<Ipv6Mode>,
    /// Who is meant to announce IPv6 routes. They are set without; this is only remembered.
    #[serde(default)]
    pub ipv6_ra_mode: Option<Ipv6Mode>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts its changes, from 1.
    pub generation: u64,
}

/// How hosts find their IPv6 addresses (RFC 4861, section 4.2: the flags M and O).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Mode {
    /// DHCPv6 says all.
    Stateful,
    /// Announcements say the address, DHCPv6 the rest.
    Stateless,
    /// Announcements say all.
    Slaac,
}

/// Addresses from the first to the last, both included, of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

/// A way to a range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub destination: Cidr,
    /// Who carries it on.
    pub next_hop: IpAddr,
}

impl Subnet {
    /// A subnet without a name that gives out its whole range.
    #[must_use]
    pub fn new(cidr: Cidr, gateway: Option<IpAddr>, now: Timestamp) -> Self {
        Self {
            id: Id::random(),
            name: String::new(),
            description: String::new(),
            tags: BTreeSet::new(),
            cidr,
            gateway,
            pools: Vec::new(),
            reserved: BTreeMap::new(),
            routes: Vec::new(),
            dns_servers: Vec::new(),
            dhcp: true,
            ipv6_address_mode: None,
            ipv6_ra_mode: None,
            created_at: now,
            updated_at: now,
            generation: 1,
        }
    }

    /// Whether nobody in it can ever have this address: it means the network itself, or everyone.
    #[must_use]
    pub fn is_nobodys(&self, address: IpAddr) -> bool {
        match (self.cidr.address(), address) {
            // RFC 3021: with a prefix of 31 there is neither a network's nor a broadcast address.
            (IpAddr::V4(first), IpAddr::V4(address)) if self.cidr.prefix() < 31 => {
                let last = u32::from(first) | (u32::MAX >> self.cidr.prefix());
                address == first || address == Ipv4Addr::from(last)
            }
            // RFC 4291, section 2.6.1: the subnet's routers answer to the first address.
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                self.cidr.prefix() < 127 && address == first
            }
            _ => false,
        }
    }

    /// Hosts make their own addresses in it, by either mode.
    #[must_use]
    pub fn is_self_made(&self) -> bool {
        let mut modes = [self.ipv6_address_mode, self.ipv6_ra_mode].into_iter();
        modes.any(|mode| matches!(mode, Some(Ipv6Mode::Slaac | Ipv6Mode::Stateless)))
    }

    /// The address that a host with this hardware address gives itself; none where hosts are told
    /// theirs.
    ///
    /// Source: RFC 4862, section 5.5.3; RFC 4291, appendix A.
    #[must_use]
    pub fn self_made(&self, mac: &str) -> Option<IpAddr> {
        let IpAddr::V6(network) = self.cidr.address() else {
            return None;
        };
        if !self.is_self_made() {
            return None;
        }
        let bytes: Vec<u8> = mac
            .split(':')
            .map(|part| u8::from_str_radix(part, 16).ok())
            .collect::<Option<_>>()?;
        let [a, b, c, d, e, f] = bytes.try_into().ok()?;
        // The bit that tells given addresses from universal ones is turned.
        let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        let address = u128::from(network) | u128::from(interface);
        Some(IpAddr::V6(address.into()))
    }
}

impl AddressRange {
    /// A whole range.
    #[must_use]
    pub fn of(cidr: Cidr) -> Self {
        Self {
            first: cidr.address(),
            last: cidr.last(),
        }
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether two share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The address `offset` places after the first, where it lies in the range.
    #[must_use]
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let address = match self.first {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(
                u32::from(v4).checked_add(u32::try_from(offset).ok()?)?,
            )),
            IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).checked_add(offset)?.into()),
        };
        self.contains(address).then_some(address)
    }

    /// The range as an address and a prefix, where it is one.
    #[must_use]
    pub fn as_cidr(&self) -> Option<Cidr> {
        let longest = if self.first.is_ipv4() { 32 } else { 128 };
        (0..=longest)
            .filter_map(|prefix| Cidr::new(self.first, prefix))
            .find(|cidr| Self::of(*cidr) == *self)
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        AddressRange::of(text.parse().unwrap())
    }

    #[test]
    fn hosts_make_their_addresses_of_their_hardwares() {
        let cidr = "fd00:77::/64".parse().unwrap();
        let mut subnet = Subnet::new(cidr, None, Timestamp::UNIX_EPOCH);
        assert_eq!(subnet.self_made("fa:16:3e:dc:be:0a"), None);
        subnet.ipv6_address_mode = Some(Ipv6Mode::Slaac);
        let made = subnet.self_made("fa:16:3e:dc:be:0a").unwrap();
        assert_eq!(made.to_string(), "fd00:77::f816:3eff:fedc:be0a");
        assert_eq!(subnet.self_made("nothing"), None);
        subnet.ipv6_address_mode = Some(Ipv6Mode::Stateful);
        assert_eq!(subnet.self_made("fa:16:3e:dc:be:0a"), None);
    }

    #[test]
    fn a_range_is_its_cidr_again() {
        for text in ["10.0.5.0/30", "0.0.0.0/0", "10.1.2.3/32", "fd00::/64"] {
            assert_eq!(range(text).as_cidr().unwrap().to_string(), text);
        }
        let odd = AddressRange {
            first: "10.0.0.2".parse().unwrap(),
            last: "10.0.0.254".parse().unwrap(),
        };
        assert_eq!(odd.as_cidr(), None);
        assert_eq!(odd.nth(252), Some("10.0.0.254".parse().unwrap()));
        assert_eq!(odd.nth(253), None);
    }

    #[test]
    fn ranges_overlap_at_their_ends_and_never_across_families() {
        let pool = |first: &str, last: &str| AddressRange {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
        };
        assert!(pool("10.0.0.2", "10.0.0.9").overlaps(&pool("10.0.0.9", "10.0.0.20")));
        assert!(!pool("10.0.0.2", "10.0.0.8").overlaps(&pool("10.0.0.9", "10.0.0.20")));
        assert!(!range("0.0.0.0/0").overlaps(&range("::/0")));
    }

    #[test]
    fn network_and_broadcast_addresses_are_nobodys() {
        let subnet = |text: &str| Subnet::new(text.parse().unwrap(), None, Timestamp::UNIX_EPOCH);
        let is_nobodys =
            |text: &str, address: &str| subnet(text).is_nobodys(address.parse().unwrap());
        assert!(is_nobodys("10.0.0.0/24", "10.0.0.0"));
        assert!(is_nobodys("10.0.0.0/24", "10.0.0.255"));
        assert!(!is_nobodys("10.0.0.0/24", "10.0.0.1"));
        assert!(!is_nobodys("10.0.0.0/31", "10.0.0.0"));
        assert!(is_nobodys("fd00::/64", "fd00::"));
        assert!(!is_nobodys("fd00::/64", "fd00::1"));
    }
}

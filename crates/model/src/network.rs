//! A network: one broadcast domain with its subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::instance::Failure;
use crate::meta::{Id, Meta};
use crate::subnet::Subnet;

/// What a user asked for, with the subnets chosen. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Identity and ownership.
    pub meta: Meta,
    /// What it is.
    pub spec: NetworkSpec,
}

/// What became of a network on its node. Written by the node's agent; missing until it has tried.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Why it could not be made; `None` once it is there.
    pub error: Option<Failure>,
}

/// What a network is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// How it is made.
    pub driver: Driver,
    /// Who carries packets out of it.
    #[serde(default)]
    pub routing: Routing,
    /// Its subnets; no two of them overlap.
    pub subnets: Vec<Subnet>,
    /// It may be used.
    #[serde(default = "yes")]
    pub admin_up: bool,
    /// Every project may use it.
    #[serde(default)]
    pub shared: bool,
    /// Routers have their way out by it, and floating addresses are of it.
    #[serde(default)]
    pub external: bool,
    /// Ports on it are guarded by firewalls unless they say otherwise.
    #[serde(default)]
    pub port_security: bool,
    /// No other network of the project with such a name may be made.
    #[serde(default = "yes")]
    pub unique_name: bool,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// No way out: no default route and no translation.
    #[serde(default)]
    pub internal: bool,
    /// Instances on it look each other up by name. The default network does not.
    pub dns: bool,
    /// Instances on it may reach each other.
    pub inter_instance: bool,
    /// Traffic that leaves has its source address translated.
    pub masquerade: bool,
    /// Bytes in the largest packet; `None` is 1,500.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Name of the bridge on the node, where a user chose one.
    #[serde(default)]
    pub bridge_name: Option<String>,
    /// Address of the node that published ports use unless they name one.
    #[serde(default)]
    pub host_binding: Option<IpAddr>,
    /// Made at first start and never removed.
    #[serde(default)]
    pub predefined: bool,
    /// What one protocol alone knows of it, by protocol. Read by that front end only.
    #[serde(default)]
    pub origin: BTreeMap<String, Value>,
}

/// How a network is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge on the node.
    Bridge,
    /// The node's own network.
    Host,
    /// Loopback only.
    None,
}

/// Who carries packets out of a network.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// The node, which has the gateways' addresses: no two such networks overlap.
    #[default]
    Node,
    /// Routers that users make. Other networks may have the same addresses.
    Routers,
}

const fn yes() -> bool {
    true
}

impl Default for NetworkSpec {
    /// A bridge that the node routes for, open to all who are on it.
    fn default() -> Self {
        Self {
            driver: Driver::Bridge,
            routing: Routing::Node,
            subnets: Vec::new(),
            admin_up: true,
            shared: false,
            external: false,
            port_security: false,
            unique_name: true,
            description: String::new(),
            tags: BTreeSet::new(),
            internal: false,
            dns: true,
            inter_instance: true,
            masquerade: true,
            mtu: None,
            bridge_name: None,
            host_binding: None,
            predefined: false,
            origin: BTreeMap::new(),
        }
    }
}

impl NetworkSpec {
    /// One of its subnets.
    #[must_use]
    pub fn subnet(&self, id: Id) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }

    /// The subnet that an address is of.
    #[must_use]
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.cidr.contains(address))
    }

    /// The first gateway of a family.
    #[must_use]
    pub fn gateway(&self, v4: bool) -> Option<IpAddr> {
        let mut gateways = self.subnets.iter().filter_map(|subnet| subnet.gateway);
        gateways.find(|gateway| gateway.is_ipv4() == v4)
    }
}

/// An address range: the first address and the length of the prefix in bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not an address range.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an address range such as 172.18.0.0/16")]
pub struct ParseCidrError {
    text: String,
}

impl Cidr {
    /// The range around `address`; bits past the prefix are cleared.
    ///
    /// `None` where the prefix is longer than the address.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { address, prefix })
    }

    /// The first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix, in bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let prefix = u32::from(self.prefix);
        match self.address {
            IpAddr::V4(v4) => {
                Ipv4Addr::from(u32::from(v4) | u32::MAX.checked_shr(prefix).unwrap_or(0)).into()
            }
            IpAddr::V6(v6) => {
                Ipv6Addr::from(u128::from(v6) | u128::MAX.checked_shr(prefix).unwrap_or(0)).into()
            }
        }
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::new(address, self.prefix).is_some_and(|other| other.address == self.address)
    }

    /// Whether the two ranges share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The address `offset` places after the first, where it lies in the range.
    #[must_use]
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(
                u32::from(v4).checked_add(u32::try_from(offset).ok()?)?,
            )),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).checked_add(offset)?)),
        };
        self.contains(address).then_some(address)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = ParseCidrError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(address, prefix)| Self::new(address.parse().ok()?, prefix.parse().ok()?))
            .ok_or_else(|| ParseCidrError {
                text: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_clears_the_bits_past_its_prefix() {
        assert_eq!(cidr("172.18.3.4/16").to_string(), "172.18.0.0/16");
        assert_eq!(cidr("fd00::1:2/64").to_string(), "fd00::/64");
        assert_eq!(cidr("10.0.0.1/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlap_is_symmetric_and_keeps_families_apart() {
        assert!(cidr("10.0.0.0/8").overlaps(&cidr("10.1.0.0/16")));
        assert!(cidr("10.1.0.0/16").overlaps(&cidr("10.0.0.0/8")));
        assert!(!cidr("10.0.0.0/16").overlaps(&cidr("10.1.0.0/16")));
        assert!(!cidr("0.0.0.0/0").overlaps(&cidr("::/0")));
    }

    #[test]
    fn the_nth_address_stays_inside() {
        let range = cidr("192.168.1.0/30");
        assert_eq!(range.nth(3), Some("192.168.1.3".parse().unwrap()));
        assert_eq!(range.nth(4), None);
    }
}

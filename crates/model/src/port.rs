//! A port: a place on a network with a hardware address and addresses, whoever plugs into it.
//!
//! Its records have one writer each: the spec is written by `actions`, the allotment by the
//! placement controller. Whether it is in use is told by the status of the instance, or the
//! router, that plugs into it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::{Id, Meta};
use crate::network::Cidr;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Identity and ownership. Names need not be unique.
    pub meta: Meta,
    /// What it is.
    pub spec: PortSpec,
}

/// What a port is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PortSpec {
    /// The network.
    pub network: Id,
    /// Hardware address, lower case: `fa:16:3e:00:00:01`.
    pub mac: String,
    /// Addresses asked for, in order. None at all means that it has none.
    #[serde(default)]
    pub wanted: Vec<WantedAddress>,
    /// Firewalls whose rules hold for it, in order.
    #[serde(default)]
    pub firewalls: Vec<Id>,
    /// Further sources that it may send from.
    #[serde(default)]
    pub allowed_pairs: Vec<AddressPair>,
    /// Firewalls hold, and it may send from its own addresses only.
    pub port_security: bool,
    /// It may be used.
    pub admin_up: bool,
    /// Identity of what plugs in: an instance's or a router's, or a user's words; empty is nothing.
    #[serde(default)]
    pub device_id: String,
    /// What kind of thing plugs in: `compute:nova`, `network:router_interface`.
    #[serde(default)]
    pub device_owner: String,
    /// Node on which a user wants it; empty is any.
    #[serde(default)]
    pub host: String,
    /// Host name told to the network's resolver.
    #[serde(default)]
    pub dns_name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// What one protocol alone knows of it, by protocol. Read by that front end only.
    #[serde(default)]
    pub origin: BTreeMap<String, Value>,
}

/// An address that a port is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedAddress {
    /// The subnet it is of.
    pub subnet: Id,
    /// Which; `None` is any free one.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

/// A source that a port may send from beside its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressPair {
    /// The addresses.
    pub cidr: Cidr,
    /// Hardware address; `None` is the port's.
    #[serde(default)]
    pub mac: Option<String>,
    /// A single address was given, without a prefix.
    #[serde(default)]
    pub single: bool,
}

/// Which addresses a port has. Written by the placement controller only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Allotment {
    /// Generation of the spec for which this was decided.
    pub generation: u64,
    /// Its addresses, in the order of [`PortSpec::wanted`].
    #[serde(default)]
    pub addresses: Vec<FixedAddress>,
    /// Why they are not those of the spec.
    #[serde(default)]
    pub refusal: Option<AllotmentRefusal>,
}

/// An address that a port has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FixedAddress {
    /// The subnet it is of.
    pub subnet: Id,
    /// The address.
    pub address: IpAddr,
}

/// Why a port cannot have what it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllotmentRefusal {
    /// Somebody else has the address.
    InUse(IpAddr),
    /// The address is not one of the subnet.
    Outside(IpAddr),
    /// Every address of this subnet is taken.
    Exhausted(Id),
    /// The network does not exist any more, or has no such subnet.
    NoSubnet(Id),
}

/// Owners of ports that only the cloud itself makes and removes.
pub mod owner {
    /// A router's leg on a network.
    pub const ROUTER_INTERFACE: &str = "network:router_interface";
    /// A router's leg on an external network.
    pub const ROUTER_GATEWAY: &str = "network:router_gateway";
    /// The address of a floating address.
    pub const FLOATING: &str = "network:floatingip";
    /// Begins the owner of every port that an instance plugs into.
    pub const COMPUTE: &str = "compute:";
}

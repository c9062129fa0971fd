//! A router: carries packets between the networks it has interfaces on, and to an external one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::instance::Failure;
use crate::meta::{Id, Meta};
use crate::subnet::Route;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Router {
    /// Identity and ownership. Names need not be unique.
    pub meta: Meta,
    /// What it is.
    pub spec: RouterSpec,
}

/// What a router is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RouterSpec {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// It carries packets.
    pub admin_up: bool,
    /// Its legs: ports, in the order they were added.
    #[serde(default)]
    pub interfaces: Vec<Id>,
    /// Its way out.
    #[serde(default)]
    pub gateway: Option<RouterGateway>,
    /// Further ways.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
}

/// A router's way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouterGateway {
    /// The external network.
    pub network: Id,
    /// Its port there.
    pub port: Id,
    /// What leaves has the router's address, unless it has a floating one.
    pub snat: bool,
}

/// What the node that carries a router saw. Written by that node's agent only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Generation of the spec that the node last acted on.
    pub generation: u64,
    /// The node.
    pub node: Id,
    /// Ports that are plugged in now.
    #[serde(default)]
    pub ports: Vec<Id>,
    /// Floating addresses that lead inside now.
    #[serde(default)]
    pub floating: Vec<Id>,
    /// Why it is not as it should be.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// An address of an external network that leads to a port's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FloatingAddress {
    /// Identity and ownership.
    pub meta: Meta,
    /// What it is. Written by `actions` only.
    pub spec: FloatingSpec,
}

/// What a floating address is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FloatingSpec {
    /// The external network.
    pub network: Id,
    /// The port on the external network that holds the address.
    pub port: Id,
    /// Where it leads; `None` is nowhere.
    #[serde(default)]
    pub target: Option<FloatingTarget>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
}

/// Where a floating address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FloatingTarget {
    /// The port.
    pub port: Id,
    /// The port's address that is meant.
    pub address: IpAddr,
    /// The router that carries it there.
    pub router: Id,
}

//! Quotas: how much of what a project may have, and the gate through which whatever counts is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// What one project, or everybody who has no quota of their own, may have. Written by `actions`
/// only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// Identity; belongs to the project, or to the system where it is a class for everybody.
    pub meta: Meta,
    /// How much, where it is not the usual; -1 is without end.
    #[serde(default)]
    pub limits: BTreeMap<Resource, i64>,
}

/// Counts what was ever made in a project. Whoever makes something that counts writes the next
/// number in the same batch, so that two at once cannot both take the last place. Written by
/// `actions` only.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct QuotaGate {
    /// How many batches went through.
    pub passed: u64,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Servers.
    Instances,
    /// Processors of all servers.
    Cores,
    /// Memory of all servers.
    RamMib,
    /// Words on one server.
    MetadataItems,
    /// Files put into one server.
    InjectedFiles,
    /// Bytes of one such file.
    InjectedFileBytes,
    /// Characters of such a file's path.
    InjectedFilePath,
    /// Key pairs of one user.
    KeyPairs,
    /// Groups of servers.
    ServerGroups,
    /// Servers in one group.
    ServerGroupMembers,
    /// Networks.
    Networks,
    /// Subnets.
    Subnets,
    /// Ports.
    Ports,
    /// Routers.
    Routers,
    /// Floating addresses.
    FloatingAddresses,
    /// Firewalls.
    Firewalls,
    /// Rules of all firewalls.
    FirewallRules,
    /// Volumes.
    Volumes,
    /// Size of all volumes and snapshots.
    VolumeGib,
    /// Size of one volume.
    PerVolumeGib,
    /// Snapshots of volumes.
    Snapshots,
}

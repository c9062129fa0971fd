//! What an instance asks of a node.

use std::collections::BTreeMap;

use model::Id;
use model::instance::{Companions, InstanceSpec};

use crate::snapshot::Resources;

/// What an instance asks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// It can run there only: what it has lies there, or a user said so.
    pub node: Option<Id>,
    /// It is to be placed in this zone.
    pub zone: Option<String>,
    /// Memory kept for it, in bytes. A node gives no more of it than it has.
    pub memory_reserved_bytes: u64,
    /// The most memory it may use, in bytes; 0 without a limit. Limits may add up to more than a
    /// node has.
    pub memory_limit_bytes: u64,
    /// The most processor time it may use, in thousandths of one processor; 0 without a limit.
    pub cpu_limit_milli: u64,
    /// The others that it is to be with, or apart from.
    pub companions: Option<Neighbours>,
}

/// Where the others of a group are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// How the group is spread.
    pub rule: Companions,
    /// How many of it are on each node that has any.
    pub per_node: BTreeMap<Id, u32>,
}

impl Neighbours {
    /// How many of the group are on a node.
    pub(crate) fn on(&self, node: Id) -> u32 {
        self.per_node.get(&node).copied().unwrap_or_default()
    }
}

impl Request {
    /// What this spec asks for, of an instance that is on no node yet.
    #[must_use]
    pub fn of(spec: &InstanceSpec) -> Self {
        let mut request = Self {
            node: spec.site.node,
            zone: spec.site.zone.clone(),
            ..Self::default()
        };
        for container in &spec.containers {
            let resources = &container.resources;
            request.memory_reserved_bytes += resources.memory_reservation_bytes.unwrap_or(0);
            request.memory_limit_bytes += resources.memory_bytes.unwrap_or(0);
            request.cpu_limit_milli += resources.nano_cpus.unwrap_or(0).div_ceil(1_000_000);
        }
        request
    }

    /// What is kept for it.
    pub(crate) const fn reserved(&self) -> Resources {
        Resources {
            cpu_milli: 0,
            memory_bytes: self.memory_reserved_bytes,
            instances: 1,
        }
    }

    /// What it will use, as far as its limits tell.
    pub(crate) fn expected(&self) -> Resources {
        let memory_bytes = self.memory_limit_bytes.max(self.memory_reserved_bytes);
        Resources {
            cpu_milli: self.cpu_limit_milli,
            memory_bytes,
            instances: 1,
        }
    }
}

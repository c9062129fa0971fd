//! Aggregates: nodes that their operator counts together, and the zones that some of them are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// Nodes that are counted together. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Aggregate {
    /// Identity; belongs to the installation, in which the name is unique.
    pub meta: Meta,
    /// The nodes.
    #[serde(default)]
    pub nodes: BTreeSet<Id>,
    /// What is said of them.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Aggregate {
    /// The name of the metadata that make an aggregate a zone.
    pub const ZONE: &str = "availability_zone";

    /// The zone that its nodes are in.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.metadata.get(Self::ZONE).map(String::as_str)
    }
}

/// The zone of a node that no aggregate puts into one.
pub const DEFAULT_ZONE: &str = "nova";

/// The zone that a node is in, by all aggregates: an operator can put it into one only.
pub fn zone_of<'a>(node: Id, mut all: impl Iterator<Item = &'a Aggregate>) -> &'a str {
    all.find_map(|aggregate| aggregate.zone().filter(|_| aggregate.nodes.contains(&node)))
        .unwrap_or(DEFAULT_ZONE)
}

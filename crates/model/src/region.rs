//! A region: a part of the installation that has endpoints of its own. Belongs to the system.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::Meta;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Identity; the name is what clients know it by, and they choose it.
    pub meta: Meta,
    /// What it is.
    pub spec: RegionSpec,
}

/// What a region is.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionSpec {
    /// The name of the region that it is a part of.
    pub parent: Option<String>,
    /// For people.
    pub description: String,
    /// Further fields that a client gave it and reads back.
    pub extra: Map<String, Value>,
}

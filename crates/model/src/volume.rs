//! A volume: files that outlive the instances that use them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::instance::Failure;
use crate::meta::Meta;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Identity and ownership.
    pub meta: Meta,
    /// What it is.
    pub spec: VolumeSpec,
}

/// What became of a volume on its node. Written by the node's agent; missing until it has tried.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeStatus {
    /// Why it could not be made; `None` once it is there.
    pub error: Option<Failure>,
}

/// What a volume is.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    /// Made for one instance, without a name of its own.
    pub anonymous: bool,
    /// A file system to mount instead of a directory of the node: `type`, `device` and `o`, as
    /// `mount` takes them. Empty is a directory.
    pub options: BTreeMap<String, String>,
    /// What one protocol alone knows of it, by protocol. Read by that front end only.
    pub origin: BTreeMap<String, Value>,
}

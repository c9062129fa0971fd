//! A snapshot: what a volume held at one moment.
//!
//! Its records have one writer each: the spec is written by `actions`, the status by the agent of
//! its node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::instance::Failure;
use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Identity and ownership. Names need not be unique.
    pub meta: Meta,
    /// What it is.
    pub spec: SnapshotSpec,
}

/// What a snapshot is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotSpec {
    /// The volume.
    pub volume: Id,
    /// The size that the volume had.
    pub size_gib: u32,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Words of its user's.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Who asked for it.
    pub user: Id,
    /// What an admin says of it, whatever its node knows.
    #[serde(default)]
    pub phase: Option<SnapshotPhase>,
    /// How much of it is made, as somebody says.
    #[serde(default)]
    pub progress_percent: Option<u8>,
}

/// What an admin says of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotPhase {
    /// It is being made.
    Creating,
    /// It can be used.
    Available,
    /// It is being removed.
    Deleting,
    /// It is broken.
    Error,
    /// It could not be removed.
    ErrorDeleting,
}

impl SnapshotPhase {
    /// The phase in words: `error_deleting`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Deleting => "deleting",
            Self::Error => "error",
            Self::ErrorDeleting => "error_deleting",
        }
    }
}

/// What became of a snapshot. Written by the node's agent; missing until it has tried.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Why it could not be made or removed; `None` once that is done.
    pub error: Option<Failure>,
}

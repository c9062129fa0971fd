//! An image as other nouns see it: what it is called and what it brings.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::HealthCheck;

/// An image of the local content store.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Digest of its configuration: `sha256:...`.
    pub id: String,
    /// Names it is known by, fully qualified: `docker.io/library/busybox:latest`.
    pub tags: Vec<String>,
    /// Names with the digest of the manifest they were fetched by.
    pub digests: Vec<String>,
    /// Digest of the image it was committed or built from.
    pub parent: Option<String>,
    /// When it was made, from its configuration.
    pub created_at: Option<Timestamp>,
    /// When it last got a tag here.
    pub tagged_at: Option<Timestamp>,
    /// Bytes of its unpacked layers.
    pub size_bytes: u64,
    /// Digests of its unpacked layers, the base first: `sha256:...`.
    pub layers: Vec<String>,
    /// How it was made, the oldest first.
    pub history: Vec<History>,
    /// Processor architecture, as Go names it: `amd64`.
    pub architecture: String,
    /// Variant of the architecture: `v8`.
    pub variant: String,
    /// Operating system: `linux`.
    pub os: String,
    /// Who made it.
    pub author: String,
    /// A remark of who made it.
    pub comment: String,
    /// What containers made from it start with.
    pub defaults: Defaults,
}

/// One step of an image's making.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct History {
    /// When.
    pub created_at: Option<Timestamp>,
    /// The instruction.
    pub created_by: String,
    /// Who made it.
    pub author: String,
    /// A remark.
    pub comment: String,
    /// It added no layer.
    pub empty_layer: bool,
    /// Bytes of the layer it added, unpacked.
    pub size_bytes: u64,
}

/// What containers made from an image start with.
///
/// Source: OCI Image Configuration, `config`; `health_check`, `on_build` and `shell` are Docker's.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// User and group.
    pub user: String,
    /// Ports it listens on: `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The further arguments, or the whole command without an entrypoint.
    pub command: Vec<String>,
    /// Paths that are volumes.
    pub volumes: BTreeSet<String>,
    /// Working directory.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Signal that asks its process to stop.
    pub stop_signal: Option<String>,
    /// Health check; `Some` with empty arguments switches an inherited one off.
    pub health_check: Option<HealthCheck>,
    /// Instructions for builds on top of it.
    pub on_build: Vec<String>,
    /// The shell of its shell-form instructions.
    pub shell: Vec<String>,
}

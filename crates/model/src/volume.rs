//! A volume: files that outlive the instances that use them.
//!
//! One with a size is a file system of its own, and never holds more; one without is a directory of
//! the node. Its records have one writer each: the spec is written by `actions`, the status by the
//! agent of its node. Which instances use it stands in their specs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::Defaults;
use crate::instance::Failure;
use crate::meta::{Id, Meta};

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
    /// Why it could not be made, extended or removed; `None` once that is done.
    pub error: Option<Failure>,
    /// The size that it has; `None` where it has none, or is not there.
    #[serde(default)]
    pub size_gib: Option<u32>,
    /// Generation of the spec that the node last acted on.
    #[serde(default)]
    pub generation: u64,
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
    /// The size that it never exceeds; `None` is a directory of the node, without a limit.
    pub size_gib: Option<u32>,
    /// What it holds at first; `None` is nothing.
    pub source: Option<VolumeSource>,
    /// What its user calls it, which need not be unique; empty is nothing.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// Which of the [`crate::volume_type`]s it is of.
    pub volume_type: Option<Id>,
    /// Who asked for it.
    pub user: Option<Id>,
    /// Words of its user's.
    pub metadata: BTreeMap<String, String>,
    /// Properties of the image that it was made from.
    pub image_metadata: BTreeMap<String, String>,
    /// What an instance starts with whose root it is: that of the image which it was made from.
    pub defaults: Defaults,
    /// An instance can be made from it.
    pub bootable: bool,
    /// Whoever attaches it gets it read-only, or not; `None` is not, and nobody has said so.
    pub read_only: Option<bool>,
    /// Several instances may use it at once.
    pub shared: bool,
    /// What is being done with it.
    pub phase: VolumePhase,
    /// Who uses it outside of this cloud's instances, or is about to use it.
    pub claims: Vec<VolumeClaim>,
    /// What one protocol alone knows of it, by protocol. Read by that front end only.
    pub origin: BTreeMap<String, Value>,
}

/// What a volume holds at first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// The root file system of an image.
    Image {
        /// The image's identity in its own service.
        image: Id,
        /// Digest of its configuration: `sha256:...`.
        content: String,
    },
    /// What a snapshot holds.
    Snapshot(Id),
    /// What another volume held at that moment.
    Volume(Id),
}

/// What is being done with a volume, as far as its node does not know better.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumePhase {
    /// Nothing.
    #[default]
    Available,
    /// Somebody has announced to attach it.
    Reserved,
    /// It is being attached.
    Attaching,
    /// It is used.
    InUse,
    /// It is being detached.
    Detaching,
    /// It is offered to another project.
    AwaitingTransfer,
    /// It is made an image of.
    Uploading,
    /// An admin works on it.
    Maintenance,
    /// An admin says that it is being made.
    Creating,
    /// An admin says that it is being removed.
    Deleting,
    /// An admin says that it is broken.
    Error,
    /// An admin says that it could not be removed.
    ErrorDeleting,
    /// An admin says that it could not be extended.
    ErrorExtending,
    /// An admin says that it is being extended.
    Extending,
}

impl VolumePhase {
    /// The phase in words: `in-use`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::Attaching => "attaching",
            Self::InUse => "in-use",
            Self::Detaching => "detaching",
            Self::AwaitingTransfer => "awaiting-transfer",
            Self::Uploading => "uploading",
            Self::Maintenance => "maintenance",
            Self::Creating => "creating",
            Self::Deleting => "deleting",
            Self::Error => "error",
            Self::ErrorDeleting => "error_deleting",
            Self::ErrorExtending => "error_extending",
            Self::Extending => "extending",
        }
    }
}

/// Somebody's word that they use a volume, or are about to. What instances of this cloud mount
/// needs none.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VolumeClaim {
    /// Identity of the claim.
    pub id: Id,
    /// The machine that uses it, in whatever words.
    #[serde(default)]
    pub instance: Option<String>,
    /// The host of that machine.
    #[serde(default)]
    pub host: Option<String>,
    /// Where it is seen there: `/dev/vdb`.
    #[serde(default)]
    pub device: Option<String>,
    /// It may not be written.
    #[serde(default)]
    pub read_only: bool,
    /// How far it is.
    pub phase: VolumePhase,
    /// When it was made.
    pub created_at: Timestamp,
    /// What is needed to reach the volume from there, as its user wrote it.
    #[serde(default)]
    pub connector: Option<Value>,
}

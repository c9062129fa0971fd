//! What every object carries: identity, ownership and history.
//!
//! The shape is the Kubernetes resource's on purpose: labels, owner references, finalizers,
//! generations and revisions mean here what they mean there.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of one object, for its whole life: a version 4 UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(Uuid);

impl Id {
    /// A new random identity.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The identity with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes of this identity.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Thirty-two lower-case hexadecimal digits, without dashes.
    #[must_use]
    pub fn simple(&self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The tenant that owns an object, by name. Names are unique per project and kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Project(pub String);

impl Project {
    /// The operator's own project, in which the Docker socket acts.
    pub const ADMIN: &'static str = "admin";

    /// The operator's own project.
    #[must_use]
    pub fn admin() -> Self {
        Self(Self::ADMIN.to_owned())
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The nouns that are kept in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// See [`crate::instance`].
    Instance,
    /// See [`crate::network`].
    Network,
    /// See [`crate::volume`].
    Volume,
    /// See [`crate::node`].
    Node,
}

impl Kind {
    /// Every kind, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Instance, Self::Network, Self::Volume, Self::Node];

    /// The kind's name in keys, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Points from an object to the one it belongs to; it is removed when its owner is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// What the owner is.
    pub kind: Kind,
    /// Which one it is.
    pub id: Id,
}

/// What every object carries beside its spec and its status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// The identity; never changes and is never used again.
    pub id: Id,
    /// Unique per project and kind; may change.
    pub name: String,
    /// The tenant that owns it.
    pub project: Project,
    /// For selection, by users and front ends.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For people and tools; never selected on.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Whom it belongs to.
    #[serde(default)]
    pub owners: Vec<Owner>,
    /// Who must still clean up before a deletion is final.
    #[serde(default)]
    pub finalizers: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its deletion was asked for.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes of the spec, from 1.
    pub generation: u64,
}

/// The finalizer of the node's agent: something on a node is to be removed first.
pub const NODE_FINALIZER: &str = "node";

impl Meta {
    /// The metadata of a new object.
    #[must_use]
    pub fn new(name: impl Into<String>, project: Project, now: Timestamp) -> Self {
        Self {
            id: Id::random(),
            name: name.into(),
            project,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            owners: Vec::new(),
            finalizers: Vec::new(),
            created_at: now,
            deleted_at: None,
            generation: 1,
        }
    }
}

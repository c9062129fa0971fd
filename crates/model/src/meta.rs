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

/// The identity of one object, for its whole life: a UUID, random but for a few well-known ones.
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

    /// One of the few identities that are the same in every installation: of the system (0), the
    /// project `admin` (1), the domain `Default` (2), the user `admin` (3) and the type of volumes
    /// that name none (4).
    #[must_use]
    pub const fn well_known(number: u8) -> Self {
        Self(Uuid::from_bytes([
            0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, number,
        ]))
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

/// Whose an object is: the identity of a project. Names are unique per project and kind.
///
/// What is nobody's in particular belongs to [`ProjectId::SYSTEM`]; what lives in a domain belongs
/// to the domain, which is a project too (see [`crate::project`]); what is one user's own, such as
/// a credential, belongs to that user's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(pub Id);

impl ProjectId {
    /// The operator's own project, in which the Docker socket acts.
    pub const ADMIN: Self = Self(Id::well_known(1));
    /// The installation itself: domains, roles and services are its own.
    pub const SYSTEM: Self = Self(Id::well_known(0));
    /// The domain that is there from the first start.
    pub const DEFAULT_DOMAIN: Self = Self(Id::well_known(2));
}

/// Thirty-two lower-case hexadecimal digits, as in paths.
impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.simple().fmt(f)
    }
}

impl fmt::Debug for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The nouns that are kept in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// See [`crate::instance`].
    Instance,
    /// See [`crate::server`].
    Server,
    /// See [`crate::network`].
    Network,
    /// See [`crate::volume`].
    Volume,
    /// See [`crate::volume_type`].
    VolumeType,
    /// See [`crate::volume_transfer`].
    VolumeTransfer,
    /// See [`crate::snapshot`].
    Snapshot,
    /// See [`crate::node`].
    Node,
    /// See [`crate::port`].
    Port,
    /// See [`crate::firewall`].
    Firewall,
    /// See [`crate::router`].
    Router,
    /// See [`crate::router::FloatingAddress`].
    FloatingAddress,
    /// See [`crate::project`].
    Project,
    /// See [`crate::user`].
    User,
    /// See [`crate::group`].
    Group,
    /// See [`crate::role`].
    Role,
    /// See [`crate::assignment`].
    Assignment,
    /// See [`crate::credential`].
    Credential,
    /// See [`crate::application_credential`].
    ApplicationCredential,
    /// See [`crate::application_credential`].
    AccessRule,
    /// See [`crate::trust`].
    Trust,
    /// See [`crate::service`].
    Service,
    /// See [`crate::endpoint`].
    Endpoint,
    /// See [`crate::region`].
    Region,
    /// See [`crate::key_ring`].
    KeyRing,
    /// See [`crate::revocation`].
    Revocation,
    /// See [`crate::limit`].
    RegisteredLimit,
    /// See [`crate::limit`].
    Limit,
    /// See [`crate::flavor`].
    Flavor,
    /// See [`crate::key_pair`].
    KeyPair,
    /// See [`crate::server_group`].
    ServerGroup,
    /// See [`crate::quota`].
    Quota,
    /// See [`crate::quota::QuotaGate`].
    QuotaGate,
    /// See [`crate::id_range`].
    IdRanges,
    /// See [`crate::registered_image`].
    RegisteredImage,
    /// See [`crate::image_task`].
    ImageTask,
    /// See [`crate::aggregate`].
    Aggregate,
    /// See [`crate::usage`].
    Usage,
    /// See [`crate::metadata_namespace`].
    MetadataNamespace,
    /// See [`crate::repository`].
    Repository,
    /// See [`crate::repository::RepositoryBlob`].
    RepositoryBlob,
    /// See [`crate::repository::RepositoryManifest`].
    RepositoryManifest,
    /// See [`crate::repository::RepositoryTag`].
    RepositoryTag,
}

impl Kind {
    /// The kind's name in keys, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Server => "server",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::VolumeType => "volume_type",
            Self::VolumeTransfer => "volume_transfer",
            Self::Snapshot => "snapshot",
            Self::Node => "node",
            Self::Port => "port",
            Self::Firewall => "firewall",
            Self::Router => "router",
            Self::FloatingAddress => "floating_address",
            Self::Project => "project",
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
            Self::Assignment => "assignment",
            Self::Credential => "credential",
            Self::ApplicationCredential => "application_credential",
            Self::AccessRule => "access_rule",
            Self::Trust => "trust",
            Self::Service => "service",
            Self::Endpoint => "endpoint",
            Self::Region => "region",
            Self::KeyRing => "key_ring",
            Self::Revocation => "revocation",
            Self::RegisteredLimit => "registered_limit",
            Self::Limit => "limit",
            Self::Flavor => "flavor",
            Self::KeyPair => "key_pair",
            Self::ServerGroup => "server_group",
            Self::Quota => "quota",
            Self::QuotaGate => "quota_gate",
            Self::IdRanges => "id_ranges",
            Self::RegisteredImage => "registered_image",
            Self::ImageTask => "image_task",
            Self::Aggregate => "aggregate",
            Self::Usage => "usage",
            Self::MetadataNamespace => "metadata_namespace",
            Self::Repository => "repository",
            Self::RepositoryBlob => "repository_blob",
            Self::RepositoryManifest => "repository_manifest",
            Self::RepositoryTag => "repository_tag",
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
    /// Whose it is.
    pub project: ProjectId,
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
    /// When its spec was last changed; `None` is never.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// When its deletion was asked for.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes of the spec, from 1.
    pub generation: u64,
}

/// The finalizer of the node's agent: something on a node is to be removed first.
pub const NODE_FINALIZER: &str = "node";

/// The finalizer of volumes that go with an instance: they are marked in the transaction that removes it.
pub const VOLUMES_FINALIZER: &str = "volumes";

/// The finalizer of a network's ports: it is not certain yet that there are none.
pub const PORTS_FINALIZER: &str = "ports";

impl Meta {
    /// The metadata of a new object.
    #[must_use]
    pub fn new(name: impl Into<String>, project: ProjectId, now: Timestamp) -> Self {
        Self {
            id: Id::random(),
            name: name.into(),
            project,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            owners: Vec::new(),
            finalizers: Vec::new(),
            created_at: now,
            updated_at: None,
            deleted_at: None,
            generation: 1,
        }
    }
}

//! A repository of the registry, and what is in it: blobs, manifests, tags.
//!
//! The bytes are the content store's; these records say which of them a repository offers, and keep
//! them from being freed. What is in a repository belongs to the repository's identity, so that a
//! digest or a tag is found by its name. Written by `actions` only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
use crate::meta::{Meta, ProjectId};

/// A repository. The name is what comes after the project in its address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repository {
    /// Identity and ownership; `updated_at` is when something was last pushed or removed.
    pub meta: Meta,
    /// Everybody may pull from it, also without a name.
    #[serde(default)]
    pub public: bool,
}

impl Repository {
    /// Whose what is in it is.
    #[must_use]
    pub const fn as_owner(&self) -> ProjectId {
        ProjectId(self.meta.id)
    }
}

/// A blob that a repository offers; the name is its digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepositoryBlob {
    /// Belongs to the repository.
    pub meta: Meta,
    /// Bytes of it.
    pub size_bytes: u64,
}

/// A manifest or index of a repository; the name is its digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepositoryManifest {
    /// Belongs to the repository.
    pub meta: Meta,
    /// Its digest: the name again.
    pub digest: ContentDigest,
    /// What it is, as it was pushed.
    pub media_type: String,
    /// Bytes of it.
    pub size_bytes: u64,
    /// The kind of artifact; of an image, the type of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest that it says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ContentDigest>,
    /// What else it says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Blobs and manifests of the repository without which it is not whole.
    #[serde(default)]
    pub needs: Vec<ContentDigest>,
}

/// A tag of a repository.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepositoryTag {
    /// Belongs to the repository.
    pub meta: Meta,
    /// The manifest that it names.
    pub manifest: ContentDigest,
}

//! A metadata namespace: what words about images, volumes and other things mean, for whoever offers
//! them to users to choose from.
//!
//! Nothing in here is enforced on those things.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Meta, ProjectId};

/// Words that belong together. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MetadataNamespace {
    /// Identity, and a name that is unique in the installation.
    pub meta: Meta,
    /// What is in it.
    pub spec: MetadataNamespaceSpec,
}

/// What is in a namespace; each thing by its name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MetadataNamespaceSpec {
    /// Whose it is.
    pub owner: ProjectId,
    /// What it is called before users.
    #[serde(default)]
    pub title: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Everybody sees it.
    #[serde(default)]
    pub public: bool,
    /// Neither it nor what is in it can be removed.
    #[serde(default)]
    pub protected: bool,
    /// Words, each with the JSON schema of its values.
    #[serde(default)]
    pub properties: BTreeMap<String, Definition>,
    /// Words that are said together.
    #[serde(default)]
    pub objects: BTreeMap<String, MetadataObject>,
    /// What the words are about.
    #[serde(default)]
    pub resource_types: BTreeMap<String, Association>,
    /// Words without values, and when each was made.
    #[serde(default)]
    pub tags: BTreeMap<String, Stamp>,
}

impl MetadataNamespaceSpec {
    /// Nothing yet, of a project.
    #[must_use]
    pub const fn new(owner: ProjectId) -> Self {
        Self {
            owner,
            title: None,
            description: None,
            public: false,
            protected: false,
            properties: BTreeMap::new(),
            objects: BTreeMap::new(),
            resource_types: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }
}

/// The JSON schema of a word's values.
pub type Definition = Map<String, Value>;

/// Words that are said together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MetadataObject {
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// The words without which it is not complete.
    #[serde(default)]
    pub required: Vec<String>,
    /// The words.
    #[serde(default)]
    pub properties: BTreeMap<String, Definition>,
    /// When it was made and changed.
    pub stamp: Stamp,
}

/// That the words are about a type of resources.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Association {
    /// What words begin with when they are said of such a resource.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Where they are said, if such a resource has several places.
    #[serde(default)]
    pub properties_target: Option<String>,
    /// When it was made.
    pub stamp: Stamp,
}

/// When something was made, and last changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Stamp {
    /// Made now.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            created_at: now,
            updated_at: now,
        }
    }
}

//! A type of volumes: what an operator offers, and to whom.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta, ProjectId};

/// What an operator offers. Written by `actions` only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeType {
    /// Identity, and a name that is unique in the installation.
    pub meta: Meta,
    /// What it is.
    pub spec: VolumeTypeSpec,
}

/// What a type is.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeTypeSpec {
    /// For people.
    pub description: Option<String>,
    /// Every project may use it.
    pub public: bool,
    /// Projects that may use it where it is not public.
    pub access: BTreeSet<ProjectId>,
    /// Words for schedulers and tools.
    pub extra_specs: BTreeMap<String, String>,
}

impl VolumeType {
    /// The type of volumes that name none; there from the first start.
    pub const DEFAULT: Id = Id::well_known(4);
    /// What that one is called.
    pub const DEFAULT_NAME: &'static str = "__DEFAULT__";

    /// Whether a project may use it.
    #[must_use]
    pub fn is_for(&self, project: ProjectId) -> bool {
        self.spec.public || self.spec.access.contains(&project)
    }
}

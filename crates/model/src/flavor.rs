//! A flavor: a size that instances are made in, named so that nobody has to count processors.
//!
//! It is copied into what is made from it: a flavor that is changed or deleted changes nothing that
//! runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::meta::{Meta, ProjectId};

/// A size. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Flavor {
    /// Identity, made of [`Flavor::id`]; belongs to the system, so that names are unique.
    pub meta: Meta,
    /// What users call it by, beside its name: `1`, `m1.tiny`, a UUID. Unique; never changes.
    pub id: String,
    /// What it is.
    pub spec: FlavorSpec,
}

/// What a flavor is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FlavorSpec {
    /// Processors.
    pub vcpus: u32,
    /// Memory.
    pub ram_mib: u32,
    /// The root file system; 0 is as much as the image needs.
    pub disk_gib: u32,
    /// Further scratch space.
    pub ephemeral_gib: u32,
    /// Swap.
    pub swap_mib: u32,
    /// Network bandwidth, as a share of the usual.
    pub rxtx_factor: f64,
    /// Everybody may use it.
    pub is_public: bool,
    /// Who else may use it that is not public.
    #[serde(default)]
    pub access: BTreeSet<ProjectId>,
    /// What schedulers and engines are told beside: `hw:cpu_policy`.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Nothing new is made from it.
    #[serde(default)]
    pub disabled: bool,
}

impl Flavor {
    /// Whether members of a project may use it.
    #[must_use]
    pub fn is_for(&self, project: ProjectId) -> bool {
        self.spec.is_public || self.spec.access.contains(&project)
    }
}

//! A project: whose objects are; and a domain, which is a project that holds users and projects.
//!
//! A domain belongs to [`ProjectId::SYSTEM`](crate::ProjectId::SYSTEM), a project to its domain, so
//! that names are unique among domains and among the projects of a domain. That a domain is a
//! project as well is Keystone's rule, and what lets "belongs to" mean one thing everywhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Id, Meta, ProjectId};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Identity; it belongs to its domain.
    pub meta: Meta,
    /// What it is.
    pub spec: ProjectSpec,
}

/// What a project is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProjectSpec {
    /// It is a domain.
    #[serde(default)]
    pub is_domain: bool,
    /// The project above it, or the domain of one that has none; `None` for a domain.
    #[serde(default)]
    pub parent: Option<Id>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Nobody can act in one that is not, nor in what is below it.
    pub enabled: bool,
    /// Words for selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// It can be neither changed nor deleted until this is taken back; `None` was never said.
    #[serde(default)]
    pub immutable: Option<bool>,
    /// Further fields that a client gave it and reads back.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Project {
    /// Its domain: itself, where it is one.
    #[must_use]
    pub const fn domain(&self) -> Id {
        if self.spec.is_domain {
            self.meta.id
        } else {
            self.meta.project.0
        }
    }

    /// Whose objects are, where they are this project's.
    #[must_use]
    pub const fn as_owner(&self) -> ProjectId {
        ProjectId(self.meta.id)
    }
}

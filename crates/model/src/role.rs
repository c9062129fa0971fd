//! A role: what a user may do somewhere, by name. Belongs to the system, or to a domain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Identity.
    pub meta: Meta,
    /// What it is.
    pub spec: RoleSpec,
}

/// What a role is.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleSpec {
    /// For people.
    pub description: Option<String>,
    /// Whoever has this role has these too.
    pub implies: BTreeSet<Id>,
    /// It can be neither changed nor deleted until this is taken back; `None` was never said.
    pub immutable: Option<bool>,
    /// Further fields that a client gave it and reads back.
    pub extra: Map<String, Value>,
}

//! A service of the catalogue: what there is to talk to. Belongs to the system.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::Meta;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Identity. The record's name is its identity: services' own names may be taken twice.
    pub meta: Meta,
    /// What it is.
    pub spec: ServiceSpec,
}

/// What a service is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// What it is called: `keystone`.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is: `identity`, `compute`.
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// It is in the catalogue.
    pub enabled: bool,
    /// Further fields that a client gave it and reads back.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

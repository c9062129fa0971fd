//! An endpoint: where a service answers, for whom. Belongs to the system.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Identity. The record's name is its identity: endpoints have none.
    pub meta: Meta,
    /// What it is.
    pub spec: EndpointSpec,
}

/// What an endpoint is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// The service that answers there.
    pub service: Id,
    /// The name of the region that it is in.
    #[serde(default)]
    pub region: Option<String>,
    /// Whom it is for.
    pub interface: Interface,
    /// The address; `$(project_id)s` stands for the project of whoever asks.
    pub url: String,
    /// What it is called, where it is called anything.
    #[serde(default)]
    pub name: Option<String>,
    /// It is in the catalogue.
    pub enabled: bool,
    /// Further fields that a client gave it and reads back.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// Whom an endpoint is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// Operators.
    Admin,
    /// The other services.
    Internal,
    /// Everybody.
    Public,
}

impl Interface {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

//! A limit: how much of a resource a project may have, as services ask the identity service.

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// What everybody may have who has no limit of their own. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RegisteredLimit {
    /// Identity; belongs to the system. The name is [`Resource::name`].
    pub meta: Meta,
    /// Of what.
    pub resource: Resource,
    /// How much; -1 is without limit.
    pub amount: i64,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

/// What one project or domain may have. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// Identity; belongs to the project or domain. The name is [`Resource::name`].
    pub meta: Meta,
    /// Of what.
    pub resource: Resource,
    /// The registered limit that it replaces.
    pub registered: Id,
    /// Whose it is, is a domain.
    #[serde(default)]
    pub is_domain: bool,
    /// How much; -1 is without limit.
    pub amount: i64,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

/// Of what there is a limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// The service that counts it.
    pub service: Id,
    /// The name of the region, where it is counted for each.
    #[serde(default)]
    pub region: Option<String>,
    /// What it is called: `snapshot`.
    pub name: String,
}

impl Resource {
    /// The name of a record about it.
    #[must_use]
    pub fn name(&self) -> String {
        let region = self.region.as_deref().unwrap_or("everywhere");
        format!("{} in {region} of {}", self.name, self.service)
    }
}

//! An assignment: that somebody has a role somewhere. There is one record for each.
//!
//! Its name is [`Grant::name`], so that the same thing cannot be said twice.

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Identity; it belongs to the system.
    pub meta: Meta,
    /// Who has which role where.
    pub spec: Grant,
}

/// Who has which role where.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Who.
    pub actor: Actor,
    /// Where.
    pub target: Target,
    /// Which role.
    pub role: Id,
    /// Not in the target itself but in every project below it.
    #[serde(default)]
    pub inherited: bool,
}

/// Who has a role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// One user.
    User(Id),
    /// Every user of a group.
    Group(Id),
}

/// Where somebody has a role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// In a project.
    Project(Id),
    /// In a domain.
    Domain(Id),
    /// In the whole installation.
    System,
}

impl Grant {
    /// The name of its record.
    #[must_use]
    pub fn name(&self) -> String {
        let actor = match self.actor {
            Actor::User(id) => format!("user {id}"),
            Actor::Group(id) => format!("group {id}"),
        };
        let target = match self.target {
            Target::Project(id) => format!("project {id}"),
            Target::Domain(id) => format!("domain {id}"),
            Target::System => "system".to_owned(),
        };
        let how = if self.inherited { "below" } else { "on" };
        format!("{actor} {how} {target} as {}", self.role)
    }
}

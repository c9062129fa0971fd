//! A group of servers that are to be kept together on one node, or apart on several.

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// A group. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerGroup {
    /// Identity and ownership. Names need not be unique.
    pub meta: Meta,
    /// Who made it.
    pub user: Id,
    /// Together, or apart.
    pub policy: GroupPolicy,
    /// At most so many on one node, where they are to be apart; `None` is one.
    #[serde(default)]
    pub most_per_node: Option<u32>,
}

/// How the servers of a group are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupPolicy {
    /// All on one node, or not at all.
    Affinity,
    /// Each on another node, or not at all.
    AntiAffinity,
    /// On one node where that is possible.
    SoftAffinity,
    /// On other nodes where that is possible.
    SoftAntiAffinity,
}

impl GroupPolicy {
    /// The policy in words: `anti-affinity`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Affinity => "affinity",
            Self::AntiAffinity => "anti-affinity",
            Self::SoftAffinity => "soft-affinity",
            Self::SoftAntiAffinity => "soft-anti-affinity",
        }
    }

    /// The policy of these words.
    #[must_use]
    pub fn of(words: &str) -> Option<Self> {
        [
            Self::Affinity,
            Self::AntiAffinity,
            Self::SoftAffinity,
            Self::SoftAntiAffinity,
        ]
        .into_iter()
        .find(|policy| policy.as_str() == words)
    }
}

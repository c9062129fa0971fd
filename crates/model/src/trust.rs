//! A trust: one user lets another act in a project, with some of the roles that the first one has there.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// What a user lends. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trust {
    /// Identity; it belongs to the trustor.
    pub meta: Meta,
    /// What it is.
    pub spec: TrustSpec,
}

/// What a trust is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TrustSpec {
    /// Who lends.
    pub trustor: Id,
    /// Who may act.
    pub trustee: Id,
    /// Where.
    pub project: Id,
    /// With which roles.
    pub roles: BTreeSet<Id>,
    /// The trustee acts as the trustor, not under their own name.
    pub impersonation: bool,
    /// Until when; `None` for ever.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How many more tokens are made of it; `None` is any number.
    #[serde(default)]
    pub remaining_uses: Option<u32>,
    /// How many more times it may be lent on.
    pub redelegation_count: u32,
    /// The trust that it was lent on from.
    #[serde(default)]
    pub redelegated: Option<Id>,
}

impl Trust {
    /// Whether it is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.spec.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether tokens are made of it still.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        !self.has_expired(now) && self.spec.remaining_uses != Some(0)
    }
}

//! What a server that is gone had used, so that it can still be charged for, and what was done to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::ProjectId;
use crate::server::{Deed, ServerFlavor};

/// A server that is gone: its size, and how long it was there. Written by the garbage controller when
/// it removes the server, under the same identity, and removed by it after [`Usage::KEPT_HOURS`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Whose it was.
    pub project: ProjectId,
    /// What it was called.
    pub name: String,
    /// Its size at the end.
    pub flavor: ServerFlavor,
    /// When it first ran.
    pub launched_at: Timestamp,
    /// When its removal was asked for.
    pub ended_at: Timestamp,
    /// What was done to it, the oldest first.
    #[serde(default)]
    pub deeds: Vec<Deed>,
}

impl Usage {
    /// How long it is known after its end: two months and some days, so that a month can be charged
    /// for until the next one is over.
    pub const KEPT_HOURS: i64 = 65 * 24;
}

//! A delegation: what somebody's right to act comes from who does not act by their own proof.

use serde::{Deserialize, Serialize};

use crate::meta::Id;

/// What a right to act was lent by, which it is never more than.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Delegation {
    /// An application credential of the user's own.
    ApplicationCredential(Id),
    /// Another user's trust.
    Trust(Id),
}

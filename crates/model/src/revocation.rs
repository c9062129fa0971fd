//! A revocation: that a token is worth nothing before it expires. Belongs to the system.
//!
//! Kept until what it revokes has expired. What ends all tokens of a user is in
//! [`crate::user::UserSpec::tokens_valid_from`], and roles are looked up anew for every token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// A token that was taken back. Written by `actions` only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// Identity; the name is the token's audit identity.
    pub meta: Meta,
    /// When the token would have expired.
    pub expires_at: Timestamp,
}

//! A key ring: the secrets that tokens are sealed with, so that none of them must be stored.
//!
//! The newest key seals; every key opens. What it opens has expired once a key is dropped.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// The keys of one use. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyRing {
    /// Identity; the name says what it is for.
    pub meta: Meta,
    /// The keys, the newest first; never empty.
    pub keys: Vec<Key>,
}

/// One secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// 32 random bytes: 16 that sign, then 16 that encrypt (the Fernet specification, "Key Format").
    pub secret: [u8; 32],
    /// Since when it is the newest.
    pub since: Timestamp,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

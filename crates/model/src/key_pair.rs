//! A key pair: the public half of a key that a user logs in with. The private half is nowhere here.

use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// A public key. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyPair {
    /// Identity; belongs to the user, so that names are unique for each.
    pub meta: Meta,
    /// The public key, one line as OpenSSH writes it: `ssh-ed25519 AAAA... comment`.
    pub public_key: String,
    /// MD5 of the key, in pairs of hexadecimal digits with colons between.
    pub fingerprint: String,
}

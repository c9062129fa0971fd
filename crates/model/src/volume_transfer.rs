//! A transfer: a volume that is offered to whoever knows the key.

use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// An offer. Written by `actions` only; gone once it is accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeTransfer {
    /// Identity, and the project that offers. Names need not be unique.
    pub meta: Meta,
    /// What is offered.
    pub spec: VolumeTransferSpec,
}

/// What is offered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeTransferSpec {
    /// The volume.
    pub volume: Id,
    /// Its snapshots stay with the project that offers it.
    pub without_snapshots: bool,
    /// SHA-256 of salt and key, as hexadecimal digits. The key itself is random and told once.
    pub key_digest: String,
    /// The salt.
    pub salt: String,
}

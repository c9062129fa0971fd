//! A credential: a secret that is kept for a user and given back, such as a key pair for EC2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::delegation::Delegation;
use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// Identity; it belongs to the user.
    pub meta: Meta,
    /// What it is.
    pub spec: CredentialSpec,
}

/// What a credential is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// Whose it is.
    pub user: Id,
    /// The project that it is for.
    #[serde(default)]
    pub project: Option<Id>,
    /// What kind of secret it is: `ec2`, `cert`, `totp` or any other word.
    pub kind: String,
    /// The secret.
    pub blob: String,
    /// What its maker's right to make it was lent by: a key pair is never worth more.
    #[serde(default)]
    pub delegation: Option<Delegation>,
    /// Further fields that a client gave it and reads back.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl std::fmt::Debug for CredentialSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialSpec")
            .field("user", &self.user)
            .field("project", &self.project)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

//! A user: who can prove who they are. Belongs to a domain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Identity; it belongs to its domain.
    pub meta: Meta,
    /// Who it is.
    pub spec: UserSpec,
}

/// Who a user is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UserSpec {
    /// One that is not cannot authenticate, and their tokens are worth nothing.
    pub enabled: bool,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Where a token is scoped to that asks for nothing else.
    #[serde(default)]
    pub default_project: Option<Id>,
    /// The password and those before it, the newest first; empty without a password.
    #[serde(default)]
    pub passwords: Vec<Password>,
    /// Tokens issued before are worth nothing.
    #[serde(default)]
    pub tokens_valid_from: Option<Timestamp>,
    /// Exceptions from the rules on passwords.
    #[serde(default)]
    pub options: UserOptions,
    /// Further fields that a client gave it and reads back.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A password, of which only the hash is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// The hash with its algorithm, parameters and salt, in the PHC string format.
    pub hash: String,
    /// Since when it is valid.
    pub set_at: Timestamp,
    /// Until when it is valid; `None` for ever.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Somebody else chose it: it is to be changed at first use, where the rules say so.
    #[serde(default)]
    pub set_by_admin: bool,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password")
            .field("set_at", &self.set_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Exceptions from the rules on passwords. `None` was never said.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct UserOptions {
    /// A password that somebody else chose may be kept.
    pub ignore_change_password_upon_first_use: Option<bool>,
    /// Passwords do not expire.
    pub ignore_password_expiry: Option<bool>,
    /// Failures to authenticate do not lock the account.
    pub ignore_lockout_failure_attempts: Option<bool>,
    /// Not being seen for long does not disable the account.
    pub ignore_user_inactivity: Option<bool>,
    /// The user cannot change the password.
    pub lock_password: Option<bool>,
    /// Several methods are needed to authenticate.
    pub multi_factor_auth_enabled: Option<bool>,
    /// Which sets of methods are enough.
    pub multi_factor_auth_rules: Option<Vec<Vec<String>>>,
    /// The user can be neither changed nor deleted until this is taken back.
    pub immutable: Option<bool>,
}

/// What was seen of a user. Written by `actions` when they try to authenticate.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct UserStatus {
    /// Failures to authenticate since the last success.
    pub failures: u32,
    /// When the last of them was.
    pub failed_at: Option<Timestamp>,
}

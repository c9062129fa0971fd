//! Identity: who there is, how they prove it, and what they may do where.
//!
//! A file a noun. [`authenticate`] makes a [`token`] of a proof, [`access`] says which roles somebody
//! has, [`catalogue`] what there is to talk to, and [`first_start`] makes what every installation
//! has. All of it is answered from memory; only passwords cost time, in [`hashing`].

mod access;
pub mod application_credential;
pub mod assignment;
pub mod authenticate;
pub mod catalogue;
pub mod credential;
pub mod ec2;
mod fernet;
pub mod first_start;
pub mod group;
mod hashing;
pub mod housekeeping;
mod key_ring;
pub mod limit;
mod lookup;
pub(crate) mod note;
pub mod password;
pub mod project;
mod record;
pub mod role;
pub mod service;
mod signature;
pub mod token;
pub mod trust;
pub mod user;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Cloud;

pub use lookup::{NameInDomain, Named};

impl Cloud {
    /// Goes by these rules on tokens and passwords from now on, instead of the usual ones.
    #[must_use]
    pub fn with_identity(mut self, settings: Settings) -> Self {
        self.identity = Arc::new(Identity {
            settings: Arc::new(settings),
            ..Identity::default()
        });
        self
    }
}

/// What identity keeps in memory beside the store's own view.
#[derive(Default)]
pub(crate) struct Identity {
    access: access::Cache,
    hashing: hashing::Pool,
    settings: Arc<Settings>,
}

/// The rules on tokens and passwords.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a token is valid, in seconds.
    pub token_seconds: i64,
    /// Failures to authenticate that lock an account; `None` never does.
    pub lockout_failures: Option<u32>,
    /// How long an account stays locked, in seconds.
    pub lockout_seconds: i64,
    /// Days after which a password has to be changed; `None` never.
    pub password_expires_days: Option<i64>,
    /// Days a user must keep a password; 0 may change it at once.
    pub password_minimum_days: i64,
    /// How many passwords must be unlike, the new one included; 0 and 1 ask for nothing.
    pub password_unique_count: usize,
    /// A password that somebody else chose must be changed before it is of use.
    pub change_password_upon_first_use: bool,
}

impl Default for Settings {
    /// As Keystone comes.
    fn default() -> Self {
        Self {
            token_seconds: 3600,
            lockout_failures: None,
            lockout_seconds: 1800,
            password_expires_days: None,
            password_minimum_days: 0,
            password_unique_count: 0,
            change_password_upon_first_use: false,
        }
    }
}

/// Puts changes into the further fields that a client gave a record; `null` takes one away.
fn merge(extra: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            extra.remove(name);
        } else {
            extra.insert(name.clone(), value.clone());
        }
    }
}

//! An application credential: lets a program act for a user in one project, with a secret of its
//! own, some of the user's roles, and only for the requests that its access rules name.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ApplicationCredential {
    /// Identity; it belongs to the user.
    pub meta: Meta,
    /// What it is.
    pub spec: ApplicationCredentialSpec,
}

/// What an application credential is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ApplicationCredentialSpec {
    /// For whom it acts.
    pub user: Id,
    /// Where it acts.
    pub project: Id,
    /// Which of the user's roles it has.
    pub roles: BTreeSet<Id>,
    /// HMAC-SHA256 of the secret, in hexadecimal; the secret itself is told once.
    pub secret_hash: String,
    /// It may make further credentials.
    #[serde(default)]
    pub unrestricted: bool,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Until when it is valid; `None` for ever.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// The access rules that it has, one of which must allow a request; `None` allows all.
    #[serde(default)]
    pub access_rules: Option<BTreeSet<Id>>,
}

/// A request that application credentials of a user may be allowed. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AccessRule {
    /// Identity; it belongs to the user. The name is made of the fields below.
    pub meta: Meta,
    /// Which requests.
    pub spec: AccessRuleSpec,
}

/// Which requests an access rule allows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessRuleSpec {
    /// The service's type, as in the catalogue.
    pub service: String,
    /// The method, in capitals.
    pub method: String,
    /// The path after the service's address: `*` is one segment, `{name}` too, `**` is any number.
    pub path: String,
}

impl AccessRuleSpec {
    /// The name of its record.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {} {}", self.service, self.method, self.path)
    }
}

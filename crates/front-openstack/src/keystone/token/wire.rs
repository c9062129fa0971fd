//! Shapes of requests for a token.
//!
//! Spec: Identity API v3, "Authentication and token management".

use serde::Deserialize;

/// The body of `POST /v3/auth/tokens`.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) auth: Auth,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Auth {
    pub(crate) identity: Identity,
    pub(crate) scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Identity {
    pub(crate) methods: Vec<String>,
    pub(crate) password: Option<Password>,
    pub(crate) token: Option<Token>,
    pub(crate) application_credential: Option<ApplicationCredential>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Password {
    pub(crate) user: PasswordUser,
}

#[derive(Deserialize)]
pub(crate) struct PasswordUser {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) password: String,
}

// The password stays out of logs.
impl std::fmt::Debug for PasswordUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.user.fmt(f)
    }
}

/// A user, by identity or by name in a domain.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) domain: Option<Domain>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Domain {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

#[derive(Deserialize)]
pub(crate) struct ApplicationCredential {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) secret: String,
}

impl std::fmt::Debug for ApplicationCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplicationCredential")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where the token is to be good for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scope {
    /// The word `unscoped`, or any other.
    Word(String),
    Place(Place),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) project: Option<Project>,
    pub(crate) domain: Option<Domain>,
    pub(crate) system: Option<System>,
    pub(crate) unscoped: Option<serde_json::Value>,
    #[serde(rename = "OS-TRUST:trust")]
    pub(crate) trust: Option<Trust>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) domain: Option<Domain>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Trust {
    pub(crate) id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct System {
    pub(crate) all: bool,
}

//! A token as clients read it, and errors as those of OAuth do.
//!
//! Source: Docker Registry v2 "Token Authentication Specification" and "OAuth2 Token Authentication".

use actions::registry::token::Granted;
use serde::Serialize;

/// The answer to both ways to ask.
#[derive(Serialize)]
pub(super) struct Document {
    token: String,
    access_token: String,
    expires_in: i64,
    issued_at: String,
}

impl From<Granted> for Document {
    fn from(granted: Granted) -> Self {
        Self {
            token: granted.token.clone(),
            access_token: granted.token,
            expires_in: granted.seconds,
            issued_at: granted.issued_at.to_string(),
        }
    }
}

/// RFC 6749, section 5.2.
#[derive(Serialize)]
pub(super) struct Refusal {
    pub(super) error: &'static str,
    pub(super) error_description: String,
}

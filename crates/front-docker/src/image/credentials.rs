//! Who the client is at a registry: `X-Registry-Auth`, and the body of `POST /auth`.
//!
//! Spec: Docker Engine API 1.51, "Authentication" and `AuthConfig`.

use actions::distribution::Credentials;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use serde::Deserialize;

const HEADER: &str = "x-registry-auth";

/// What clients keep for a registry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthConfig {
    username: String,
    password: String,
    /// `username:password`, encoded.
    auth: String,
    pub(crate) serveraddress: String,
    identitytoken: String,
    registrytoken: String,
}

impl AuthConfig {
    /// Who that is; `None` where it says nothing.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        if !self.registrytoken.is_empty() {
            return Some(Credentials::RegistryToken(self.registrytoken.clone()));
        }
        if !self.identitytoken.is_empty() {
            return Some(Credentials::IdentityToken(self.identitytoken.clone()));
        }
        if !self.username.is_empty() {
            return Some(Credentials::Password {
                user: self.username.clone(),
                password: self.password.clone(),
            });
        }
        let decoded = decode(&self.auth)?;
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Credentials::Password {
            user: user.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        })
    }
}

/// Who the header says that the client is. dockerd takes a header that it does not understand for
/// none, and so must we: there are clients that send such.
pub(crate) fn read(headers: &HeaderMap) -> Option<Credentials> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let config: AuthConfig = serde_json::from_slice(&decode(text)?).ok()?;
    config.credentials()
}

/// Base 64 in either alphabet, with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [URL_SAFE, STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .filter(|decoded| !decoded.is_empty())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn header(text: &str) -> Option<Credentials> {
        read(&HeaderMap::from_iter([(
            http::HeaderName::from_static(HEADER),
            text.parse().unwrap(),
        )]))
    }

    #[test]
    fn every_spelling_of_the_header_is_read() {
        let text = r#"{"username":"me","password":"?>secret","serveraddress":"x"}"#;
        let expected = Some(Credentials::Password {
            user: "me".to_owned(),
            password: "?>secret".to_owned(),
        });
        for encoded in [
            URL_SAFE.encode(text),
            URL_SAFE_NO_PAD.encode(text),
            STANDARD.encode(text),
        ] {
            assert_eq!(header(&encoded), expected, "{encoded}");
        }
        let inner = STANDARD.encode("me:?>secret");
        let text = format!(r#"{{"auth":"{inner}"}}"#);
        assert_eq!(header(&URL_SAFE.encode(text)), expected);
    }

    #[test]
    fn tokens_come_before_passwords() {
        let text = r#"{"username":"me","password":"p","identitytoken":"t"}"#;
        assert_eq!(
            header(&URL_SAFE.encode(text)),
            Some(Credentials::IdentityToken("t".to_owned()))
        );
    }

    #[test]
    fn what_is_not_understood_is_nobody() {
        for text in ["", "!", "e30=", "bnVsbA==", "e30", "W10="] {
            assert_eq!(header(text), None, "{text}");
        }
    }
}

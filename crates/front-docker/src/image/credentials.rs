//! Who the client is at registries: `X-Registry-Auth`, `X-Registry-Config`, and the body of
//! `POST /auth`.
//!
//! Spec: Docker Engine API 1.51, "Authentication", `AuthConfig` and `ImageBuild`.

use std::collections::BTreeMap;

use actions::distribution::Credentials;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use serde::Deserialize;

const HEADER: &str = "x-registry-auth";
/// The same for every registry that the client knows, as a build may need any.
const ALL_HEADER: &str = "x-registry-config";

/// Names of the registry that is meant where none is said.
const DOCKER_HUB: [&str; 4] = ["", "index.docker.io", "docker.io", "registry-1.docker.io"];

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

/// Who the client says that it is, by registry.
pub(crate) fn read_all(headers: &HeaderMap) -> BTreeMap<String, Credentials> {
    let read = || {
        let text = headers.get(ALL_HEADER)?.to_str().ok()?;
        serde_json::from_slice::<BTreeMap<String, AuthConfig>>(&decode(text)?).ok()
    };
    let known = read().unwrap_or_default();
    let with_credentials = known
        .iter()
        .filter_map(|(address, config)| Some((host(address).to_owned(), config.credentials()?)));
    with_credentials.collect()
}

/// The registry that an address of old or new form means.
pub(crate) fn host(address: &str) -> &str {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    let host = rest.split('/').next().unwrap_or(rest);
    if DOCKER_HUB.contains(&host) {
        "docker.io"
    } else {
        host
    }
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

    #[test]
    fn addresses_of_old_and_new_form_mean_a_registry() {
        for (address, registry) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000"),
        ] {
            assert_eq!(host(address), registry);
        }
    }

    #[test]
    fn a_client_is_known_to_each_registry_by_its_own() {
        let text = r#"{"https://index.docker.io/v1/":{"username":"hub","password":"p"},
            "127.0.0.1:5000":{"auth":"bWU6c2VjcmV0"},"quiet:1":{}}"#;
        let known = read_all(&HeaderMap::from_iter([(
            http::HeaderName::from_static(ALL_HEADER),
            URL_SAFE.encode(text).parse().unwrap(),
        )]));
        let password = |user: &str, password: &str| Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let expected = [
            ("127.0.0.1:5000", password("me", "secret")),
            ("docker.io", password("hub", "p")),
        ];
        let expected = expected.map(|(host, who)| (host.to_owned(), who));
        assert_eq!(known, BTreeMap::from(expected));
    }
}

//! Saying who asks: name and password, or a token that another service gives for them.
//!
//! Credentials go to the registry that they are for, and to the service that it names for tokens;
//! nobody else sees them.
//!
//! Source: Docker Registry v2 authentication, "Token Authentication" and "OAuth2 Token".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::certificates::Trust;
use super::challenge::Challenge;
use super::error::Question;
use super::transport::{Call, full};
use super::{Registries, RegistryError};

/// What we are called where tokens are given.
const CLIENT: &str = "longshore";
/// The longest answer with a token.
const LONGEST_TOKEN: usize = 1 << 20;

/// Who somebody is at a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What a service of tokens gave instead of a password, to be shown to it.
    IdentityToken(String),
    /// A token for the registry itself.
    RegistryToken(String),
}

impl std::fmt::Debug for Credentials {
    /// Without what is secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// What a service of tokens answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Given {
    token: String,
    access_token: String,
    refresh_token: String,
}

/// Who asks, in one conversation.
#[derive(Debug)]
pub(crate) struct Authorization {
    credentials: Option<Credentials>,
    /// What is to be done: `repository:library/busybox:pull`.
    scopes: Vec<String>,
    current: Mutex<Option<HeaderValue>>,
}

/// Asks for a token that stands for the password from now on, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offline {
    No,
    Yes,
}

impl Authorization {
    pub(crate) fn new(credentials: Option<Credentials>, scopes: Vec<String>) -> Self {
        let current = match &credentials {
            Some(Credentials::RegistryToken(token)) => bearer(token),
            _ => None,
        };
        Self {
            credentials,
            scopes,
            current: Mutex::new(current),
        }
    }

    /// The header that the registry took last, or that it has not refused yet.
    pub(crate) async fn current(&self) -> Option<HeaderValue> {
        self.current.lock().await.clone()
    }

    /// Answers challenges; the header is for the next attempt. Also answers the token that stands for
    /// the password, where one was wanted and given.
    ///
    /// `refused` is what was asked.
    pub(crate) async fn answer(
        &self,
        registries: &Registries,
        challenges: &[Challenge],
        offline: Offline,
        refused: (&Method, &Uri),
    ) -> Result<(HeaderValue, Option<String>), RegistryError> {
        let no_credentials = || RegistryError::NoCredentials {
            question: Question::new(refused.0, refused.1),
        };
        let (header, refresh) = match challenges.first() {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let given = self
                    .token(
                        registries,
                        realm,
                        service.as_deref(),
                        scope.as_deref(),
                        offline,
                    )
                    .await?;
                let token = if given.token.is_empty() {
                    given.access_token
                } else {
                    given.token
                };
                let refresh = Some(given.refresh_token).filter(|token| !token.is_empty());
                (bearer(&token), refresh)
            }
            Some(Challenge::Basic) => match &self.credentials {
                Some(Credentials::Password { user, password }) => (basic(user, password), None),
                _ => return Err(no_credentials()),
            },
            None => return Err(no_credentials()),
        };
        let header = header.ok_or_else(no_credentials)?;
        *self.current.lock().await = Some(header.clone());
        Ok((header, refresh))
    }

    /// Asks the service of tokens.
    async fn token(
        &self,
        registries: &Registries,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        offline: Offline,
    ) -> Result<Given, RegistryError> {
        let mut scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        scopes.extend(
            scope
                .into_iter()
                .flat_map(|scope| scope.split(' '))
                .filter(|scope| !self.scopes.iter().any(|own| own == scope)),
        );
        let mut fields: Vec<(&str, &str)> = Vec::new();
        fields.extend(service.map(|service| ("service", service)));
        let joined = scopes.join(" ");
        let call = match &self.credentials {
            Some(Credentials::IdentityToken(token)) => {
                fields.extend([
                    ("scope", joined.as_str()),
                    ("grant_type", "refresh_token"),
                    ("client_id", CLIENT),
                    ("refresh_token", token.as_str()),
                ]);
                self.exchange(registries, realm, &fields).await?
            }
            other => {
                fields.extend(scopes.iter().map(|scope| ("scope", *scope)));
                let mut authorization = None;
                if let Some(Credentials::Password { user, password }) = other {
                    fields.push(("account", user));
                    fields.push(("client_id", CLIENT));
                    authorization = basic(user, password);
                }
                if offline == Offline::Yes {
                    fields.push(("offline_token", "true"));
                }
                self.ask(registries, realm, &fields, authorization).await?
            }
        };
        Ok(call)
    }

    /// `GET realm?...`, with name and password where there are some.
    async fn ask(
        &self,
        registries: &Registries,
        realm: &str,
        fields: &[(&str, &str)],
        authorization: Option<HeaderValue>,
    ) -> Result<Given, RegistryError> {
        let separator = if realm.contains('?') { '&' } else { '?' };
        let uri = address(&format!("{realm}{separator}{}", form(fields)))?;
        if authorization.is_some() {
            check_realm(registries, &uri)?;
        }
        let mut call = Call::bare(Method::GET, uri);
        if let Some(authorization) = authorization {
            call.headers.insert(AUTHORIZATION, authorization);
        }
        give(registries, &call).await
    }

    /// `POST realm`, with the token that stands for a password.
    async fn exchange(
        &self,
        registries: &Registries,
        realm: &str,
        fields: &[(&str, &str)],
    ) -> Result<Given, RegistryError> {
        let uri = address(realm)?;
        check_realm(registries, &uri)?;
        let text = form(fields);
        let body = || full(text.clone());
        let mut call = Call {
            body: &body,
            ..Call::bare(Method::POST, uri)
        };
        call.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        give(registries, &call).await
    }
}

async fn give(registries: &Registries, call: &Call<'_>) -> Result<Given, RegistryError> {
    let transport = registries.transport();
    // It is asked where it is, and sends nobody elsewhere: it sees the password.
    let answer = transport.send_here(registries, call).await?;
    if !answer.head.status.is_success() {
        return Err(transport.refused(answer).await);
    }
    transport.json(answer, LONGEST_TOKEN).await
}

/// A password is not sent for all to read.
fn check_realm(registries: &Registries, uri: &Uri) -> Result<(), RegistryError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if uri.scheme_str() == Some("https") || registries.trust(authority) == Trust::Anyone {
        return Ok(());
    }
    Err(RegistryError::OpenRealm {
        realm: uri.to_string(),
    })
}

fn address(text: &str) -> Result<Uri, RegistryError> {
    Uri::try_from(text).map_err(|source| RegistryError::Address {
        name: text.to_owned(),
        source: source.into(),
    })
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    pairs.join("&")
}

pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    secret(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

//! Tokens of the registry: what a client shows with each request, after it has shown a password once.
//!
//! A token says who and for what; whether they may is looked up anew each time, so what ends a user's
//! other tokens, and a role that is taken away, ends these too. It is sealed, and stored nowhere.
//! Source: Docker Registry v2 "Token Authentication Specification", "Token Scope Documentation".

use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::Id;
use model::application_credential::ApplicationCredential;
use model::repository::Repository;
use serde::{Deserialize, Serialize};

use super::visitor::Right;
use super::{RegistryError, RepositoryName, Visitor, upstream};
use crate::identity::Named;
use crate::identity::authenticate::{CredentialName, Proof, Shown, Wanted, Who, authenticate};
use crate::identity::token::{Session, Token, open_other, resume, seal_other};
use crate::{Cloud, ErrorKind};

/// Digits of an identity.
const ID_DIGITS: usize = 32;
/// The domain of users who name none.
const USUAL_DOMAIN: &str = "Default";

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Something in one repository.
    Repository {
        /// As it was named.
        name: String,
        /// `pull`, `push`, `delete`.
        rights: Vec<String>,
    },
    /// The list of repositories.
    Catalogue,
}

impl FromStr for Scope {
    /// A scope of something that is not here; it is for nothing.
    type Err = ();

    /// Reads `repository:NAME:RIGHT[,RIGHT...]` or `registry:catalog:*`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, rest) = text.split_once(':').ok_or(())?;
        let (name, rights) = rest.rsplit_once(':').ok_or(())?;
        // `repository(plugin)` and the like are repositories.
        match kind.split('(').next() {
            Some("repository") => {
                let mut asked: Vec<String> = rights.split(',').map(str::to_owned).collect();
                if asked.iter().any(|right| right == "*") {
                    asked = Right::SCOPED.map(|right| right.as_str().to_owned()).into();
                }
                Ok(Self::Repository {
                    name: name.to_owned(),
                    rights: asked,
                })
            }
            Some("registry") if name == "catalog" => Ok(Self::Catalogue),
            _ => Err(()),
        }
    }
}

impl Scope {
    /// Whether it is for this.
    pub(super) fn covers(&self, wanted: &RepositoryName, right: Right) -> bool {
        match self {
            Self::Catalogue => false,
            Self::Repository { name, rights } => {
                *name == wanted.to_string() && rights.iter().any(|known| known == right.as_str())
            }
        }
    }

    /// As much of it as somebody may.
    fn granted(&self, cloud: &Cloud, visitor: &Visitor) -> Option<Self> {
        let Self::Repository { name, rights } = self else {
            return (!visitor.is_nobody()).then_some(Self::Catalogue);
        };
        let parsed = upstream::meant(cloud, name, None).ok()?;
        let project = parsed.project_of(cloud)?.as_owner();
        let found = cloud.store.by_name::<Repository>(project, &parsed.path);
        let found = found.map(|found| found.value);
        let is_public = upstream::is_public(cloud, project, &parsed.path, found.as_deref());
        let may = |right: &&Right| visitor.has_right(cloud, project, is_public, **right);
        let rights: Vec<String> = Right::SCOPED
            .iter()
            .filter(|right| rights.iter().any(|asked| asked == right.as_str()))
            .filter(may)
            .map(|right| right.as_str().to_owned())
            .collect();
        (!rights.is_empty()).then(|| Self::Repository {
            name: parsed.to_string(),
            rights,
        })
    }
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// A token of identity; `None` is nobody's.
    token: Option<Vec<u8>>,
    expires_at: Timestamp,
    scopes: Vec<Scope>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct Granted {
    /// What the client shows.
    pub token: String,
    /// Since when it is valid.
    pub issued_at: Timestamp,
    /// For how many seconds.
    pub seconds: i64,
}

/// A visitor for whoever knows this password or secret.
///
/// `user` is the name of a user of the domain `Default`, `DOMAIN/USER`, the identity of a user, or that
/// of an application credential, whose secret then is the password.
///
/// # Errors
/// [`RegistryError::Unauthenticated`] where it does not fit.
pub async fn log_in(
    cloud: &Cloud,
    user: &str,
    password: &str,
    request_id: String,
) -> Result<Visitor, RegistryError> {
    let proof = proof(cloud, user, password);
    let (_, session) = match authenticate(cloud, proof).await {
        Ok((_, session)) if is_restricted(&session) => {
            return Err(RegistryError::Denied("the registry: the access rules of the application credential are for other services".to_owned()));
        }
        Ok(proved) => proved,
        Err(error) if error.kind == ErrorKind::Unauthenticated => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a login is refused"
            );
            return Err(RegistryError::Unauthenticated);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Visitor::new(Some(Arc::new(session)), None, request_id))
}

/// Whether an application credential allows certain requests only, of which none is the registry's.
fn is_restricted(session: &Session) -> bool {
    let credential = session.application_credential.as_ref();
    credential.is_some_and(|credential| credential.spec.access_rules.is_some())
}

fn proof(cloud: &Cloud, user: &str, password: &str) -> Proof {
    let password = password.to_owned();
    let id = (user.len() == ID_DIGITS)
        .then(|| user.parse::<Id>().ok())
        .flatten();
    if let Some(id) = id
        && cloud.store.get::<ApplicationCredential>(id).is_some()
    {
        let shown = Shown::ApplicationCredential {
            credential: CredentialName::Id(id),
            secret: password,
        };
        return Proof {
            shown: vec![shown],
            scope: Wanted::Default,
        };
    }
    let who = match (id, user.split_once('/')) {
        (Some(id), _) if cloud.store.get::<model::user::User>(id).is_some() => Who {
            user: Named::Id(id),
            domain: None,
        },
        (_, Some((domain, user))) if !domain.is_empty() => Who {
            user: Named::Name(user.to_owned()),
            domain: Some(Named::Name(domain.to_owned())),
        },
        _ => Who {
            user: Named::Name(user.to_owned()),
            domain: Some(Named::Name(USUAL_DOMAIN.to_owned())),
        },
    };
    Proof {
        shown: vec![Shown::Password {
            user: who,
            password,
        }],
        scope: Wanted::Unscoped,
    }
}

/// A token for as much of `scopes` as a visitor may, who has just shown who they are, or has not.
///
/// # Errors
/// When there is no key yet to seal it with.
pub fn grant(cloud: &Cloud, visitor: &Visitor, scopes: &[Scope]) -> Result<Granted, RegistryError> {
    let issued_at = cloud.now();
    let until = issued_at + SignedDuration::from_secs(cloud.registry.settings.token_seconds);
    let session = visitor.session();
    let expires_at = session.map_or(until, |session| until.min(session.token.expires_at));
    let sealed = Sealed {
        token: session.map(|session| session.token.to_bytes()),
        expires_at,
        scopes: scopes
            .iter()
            .filter_map(|scope| scope.granted(cloud, visitor))
            .collect(),
    };
    let text = serde_json::to_vec(&sealed).map_err(|error| {
        crate::ActionError::new(ErrorKind::Internal, "a token cannot be written").caused_by(error)
    })?;
    Ok(Granted {
        token: seal_other(cloud, &text)?,
        issued_at,
        seconds: expires_at.duration_since(issued_at).as_secs(),
    })
}

/// The visitor who shows a token.
///
/// # Errors
/// [`RegistryError::TokenInvalid`] for one that is worth nothing, or not any more.
pub fn open(cloud: &Cloud, token: &str, request_id: String) -> Result<Visitor, RegistryError> {
    let invalid = || RegistryError::TokenInvalid;
    let text = open_other(cloud, token).ok_or_else(invalid)?;
    let sealed: Sealed = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if sealed.expires_at <= cloud.now() {
        return Err(invalid());
    }
    let session: Option<Arc<Session>> = match sealed.token {
        None => None,
        Some(bytes) => {
            let token = Token::from_bytes(&bytes).ok_or_else(invalid)?;
            let session = resume(cloud, token).map_err(|error| {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a token is refused"
                );
                invalid()
            })?;
            Some(Arc::new(session))
        }
    };
    Ok(Visitor::new(session, Some(sealed.scopes), request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_docker_writes_it() {
        let scope: Scope = "repository:admin/app:pull,push".parse().unwrap();
        let name: RepositoryName = "admin/app".parse().unwrap();
        assert!(scope.covers(&name, Right::Pull) && scope.covers(&name, Right::Push));
        assert!(!scope.covers(&name, Right::Delete));
        assert!(!scope.covers(&"admin/other".parse().unwrap(), Right::Pull));
        let all: Scope = "repository:admin/app:*".parse().unwrap();
        assert!(all.covers(&name, Right::Delete));
        assert_eq!("registry:catalog:*".parse(), Ok(Scope::Catalogue));
        for nonsense in ["", "repository", "registry:other:*", "x:y:z"] {
            assert!(nonsense.parse::<Scope>().is_err(), "{nonsense}");
        }
    }
}

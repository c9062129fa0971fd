//! From a request for a token to a proof.

use actions::identity::Named;
use actions::identity::authenticate::{CredentialName, Proof, Shown, Wanted, Who};
use http::StatusCode;

use super::wire;
use crate::id;
use crate::keystone::error::ApiError;

/// What is shown, and where the token is to be good for.
pub(super) fn proof(auth: wire::Auth) -> Result<Proof, ApiError> {
    let wire::Identity {
        methods,
        password,
        token,
        application_credential,
    } = auth.identity;
    let (mut password, mut token, mut credential) = (password, token, application_credential);
    let mut shown = Vec::new();
    for method in methods {
        shown.push(match method.as_str() {
            "password" => {
                let wire::PasswordUser { user, password } = password
                    .take()
                    .ok_or_else(|| lacks("password", "identity"))?
                    .user;
                let user = who(user)?;
                Shown::Password { user, password }
            }
            "token" => Shown::Token(token.take().ok_or_else(|| lacks("token", "identity"))?.id),
            "application_credential" => {
                let credential = credential
                    .take()
                    .ok_or_else(|| lacks("application_credential", "identity"))?;
                application(credential)?
            }
            _ => {
                return Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "Attempted to authenticate with an unsupported method.",
                ));
            }
        });
    }
    Ok(Proof {
        shown,
        scope: auth.scope.map_or(Ok(Wanted::Default), wanted)?,
    })
}

fn application(credential: wire::ApplicationCredential) -> Result<Shown, ApiError> {
    let name = match (credential.id, credential.name) {
        (Some(id), _) => CredentialName::Id(known(&id)?),
        (None, Some(name)) => {
            let user = credential
                .user
                .ok_or_else(|| lacks("user", "application_credential"))?;
            CredentialName::Name {
                user: who(user)?,
                name,
            }
        }
        (None, None) => return Err(lacks("id", "application_credential")),
    };
    Ok(Shown::ApplicationCredential {
        credential: name,
        secret: credential.secret,
    })
}

fn who(user: wire::User) -> Result<Who, ApiError> {
    let domain = user.domain.map(domain).transpose()?;
    match (user.id, user.name) {
        (Some(id), _) => Ok(Who {
            user: Named::Id(known(&id)?),
            domain,
        }),
        (None, Some(_)) if domain.is_none() => Err(lacks("domain", "user")),
        (None, Some(name)) => Ok(Who {
            user: Named::Name(name),
            domain,
        }),
        (None, None) => Err(lacks("id or name", "user")),
    }
}

fn domain(domain: wire::Domain) -> Result<Named, ApiError> {
    match (domain.id, domain.name) {
        (Some(id), _) => Ok(Named::Id(known(&id)?)),
        (None, Some(name)) => Ok(Named::Name(name)),
        (None, None) => Err(lacks("id or name", "domain")),
    }
}

fn wanted(scope: wire::Scope) -> Result<Wanted, ApiError> {
    let place = match scope {
        wire::Scope::Word(word) if word == "unscoped" => return Ok(Wanted::Unscoped),
        wire::Scope::Word(_) => return Err(lacks("project", "scope")),
        wire::Scope::Place(place) => place,
    };
    match place {
        wire::Place {
            project: Some(project),
            domain: None,
            system: None,
            trust: None,
            ..
        } => {
            let within = project.domain.map(domain).transpose()?;
            match (project.id, project.name) {
                (Some(id), _) => Ok(Wanted::Project {
                    project: Named::Id(known(&id)?),
                    domain: within,
                }),
                (None, Some(_)) if within.is_none() => Err(lacks("domain", "project")),
                (None, Some(name)) => Ok(Wanted::Project {
                    project: Named::Name(name),
                    domain: within,
                }),
                (None, None) => Err(lacks("id or name", "project")),
            }
        }
        wire::Place {
            project: None,
            domain: Some(of),
            system: None,
            trust: None,
            ..
        } => Ok(Wanted::Domain(domain(of)?)),
        wire::Place {
            project: None,
            domain: None,
            system: Some(wire::System { all: true }),
            trust: None,
            ..
        } => Ok(Wanted::System),
        wire::Place {
            project: None,
            domain: None,
            system: None,
            trust: Some(trust),
            ..
        } => Ok(Wanted::Trust(known(&trust.id)?)),
        wire::Place {
            project: None,
            domain: None,
            system: None,
            trust: None,
            unscoped: Some(_),
        } => Ok(Wanted::Unscoped),
        _ => Err(lacks(
            "system, project, domain, OS-TRUST:trust or unscoped",
            "scope",
        )),
    }
}

/// Whoever names what can be nobody's identity is let in as little as anybody else.
fn known(text: &str) -> Result<model::Id, ApiError> {
    id::parse(text).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "The request you have made requires authentication.",
        )
    })
}

fn lacks(attribute: &str, target: &str) -> ApiError {
    ApiError::invalid(format!(
        "Expecting to find {attribute} in {target}. The server could not comply with the request \
         since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    ))
}

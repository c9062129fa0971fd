//! From a request for a token to a proof, and from a session to what clients read of a token.

use actions::identity::Named;
use actions::identity::authenticate::{CredentialName, Proof, Shown, Wanted, Who};
use actions::identity::catalogue::Entry;
use actions::identity::token::{AuditId, Method, Place, Session};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use model::project::Project;
use serde_json::{Map, Value, json};

use super::wire;
use crate::keystone::error::ApiError;
use crate::{id, time};

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
            ..
        } => Ok(Wanted::Domain(domain(of)?)),
        wire::Place {
            project: None,
            domain: None,
            system: Some(wire::System { all: true }),
            ..
        } => Ok(Wanted::System),
        wire::Place {
            project: None,
            domain: None,
            system: None,
            unscoped: Some(_),
        } => Ok(Wanted::Unscoped),
        _ => Err(lacks("project, domain or system", "scope")),
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

/// A token as clients read it; without a catalogue where none is given.
pub(super) fn token(session: &Session, catalogue: Option<&[Entry]>) -> Value {
    let token = &session.token;
    let mut shown = Map::new();
    let methods: Vec<&str> = token.methods.iter().map(|method| word(*method)).collect();
    shown.insert("methods".to_owned(), json!(methods));
    let password_expires_at = session
        .user
        .spec
        .passwords
        .first()
        .and_then(|password| password.expires_at)
        .map(time::micros);
    shown.insert(
        "user".to_owned(),
        json!({
            "domain": named(&session.user_domain),
            "id": id::show(session.user.meta.id),
            "name": session.user.meta.name,
            "password_expires_at": password_expires_at,
        }),
    );
    let audit: Vec<String> = [Some(token.audit), token.parent_audit]
        .into_iter()
        .flatten()
        .map(audit_id)
        .collect();
    shown.insert("audit_ids".to_owned(), json!(audit));
    shown.insert(
        "expires_at".to_owned(),
        json!(time::micros(token.expires_at)),
    );
    shown.insert("issued_at".to_owned(), json!(time::micros(token.issued_at)));
    match &session.place {
        Place::Nowhere => {}
        Place::Project { project, domain } => {
            let mut place = named(project);
            place["domain"] = named(domain);
            shown.insert("project".to_owned(), place);
            shown.insert("is_domain".to_owned(), json!(project.spec.is_domain));
        }
        Place::Domain(domain) => {
            shown.insert("domain".to_owned(), named(domain));
        }
        Place::System => {
            shown.insert("system".to_owned(), json!({ "all": true }));
        }
    }
    if !matches!(session.place, Place::Nowhere) {
        let roles: Vec<Value> = session
            .roles
            .iter()
            .map(|role| json!({ "id": id::show(role.meta.id), "name": role.meta.name }))
            .collect();
        shown.insert("roles".to_owned(), json!(roles));
        if let Some(entries) = catalogue {
            shown.insert("catalog".to_owned(), self::catalogue(entries));
        }
    }
    if let Some(credential) = &session.application_credential {
        shown.insert(
            "application_credential".to_owned(),
            json!({
                "id": id::show(credential.meta.id),
                "name": credential.meta.name,
                "restricted": !credential.spec.unrestricted,
            }),
        );
    }
    json!({ "token": shown })
}

/// A catalogue as clients read it.
pub(crate) fn catalogue(entries: &[Entry]) -> Value {
    entries
        .iter()
        .map(|entry| {
            let endpoints: Vec<Value> = entry
                .endpoints
                .iter()
                .map(|(endpoint, url)| {
                    json!({
                        "id": id::show(endpoint.meta.id),
                        "interface": endpoint.spec.interface.as_str(),
                        "region": endpoint.spec.region,
                        "region_id": endpoint.spec.region,
                        "url": url,
                    })
                })
                .collect();
            json!({
                "endpoints": endpoints,
                "id": id::show(entry.service.meta.id),
                "name": entry.service.spec.name.as_deref().unwrap_or_default(),
                "type": entry.service.spec.kind,
            })
        })
        .collect()
}

fn named(project: &Project) -> Value {
    json!({ "id": id::show(project.meta.id), "name": project.meta.name })
}

fn audit_id(audit: AuditId) -> String {
    URL_SAFE_NO_PAD.encode(audit)
}

const fn word(method: Method) -> &'static str {
    match method {
        Method::Password => "password",
        Method::Token => "token",
        Method::ApplicationCredential => "application_credential",
    }
}

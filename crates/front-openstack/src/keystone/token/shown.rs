//! Tokens and catalogues as clients read them, written straight from the session: services ask for
//! them with every request of theirs, so nothing is copied into a document first.
//!
//! Spec: Identity API v3, "Authentication and token management" and "Service catalog".

use actions::identity::catalogue::Entry;
use actions::identity::token::{AuditId, Method, Place, Session};
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::Id;
use model::endpoint::Endpoint;
use model::project::Project;
use serde::ser::{Serialize, Serializer};

use crate::{id, time};

/// `{"token": ...}`.
#[derive(serde::Serialize)]
pub(crate) struct Document<'a> {
    token: Token<'a>,
}

#[derive(serde::Serialize)]
struct Token<'a> {
    methods: Vec<&'static str>,
    user: User<'a>,
    audit_ids: Vec<Audit>,
    #[serde(serialize_with = "micros")]
    expires_at: Timestamp,
    #[serde(serialize_with = "micros")]
    issued_at: Timestamp,
    #[serde(flatten)]
    scope: Scope<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Named<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Catalogue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_credential: Option<ApplicationCredential<'a>>,
    #[serde(rename = "OS-TRUST:trust", skip_serializing_if = "Option::is_none")]
    trust: Option<Trust>,
}

#[derive(serde::Serialize)]
struct User<'a> {
    #[serde(flatten)]
    own: InDomain<'a>,
    #[serde(serialize_with = "micros_or_null")]
    password_expires_at: Option<Timestamp>,
}

/// Where a token is good for: members of the token itself.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Scope<'a> {
    Nowhere {},
    Project {
        project: InDomain<'a>,
        is_domain: bool,
    },
    Domain {
        domain: Named<'a>,
    },
    System {
        system: System,
    },
}

#[derive(serde::Serialize)]
struct System {
    all: bool,
}

#[derive(serde::Serialize)]
struct InDomain<'a> {
    domain: Named<'a>,
    #[serde(flatten)]
    own: Named<'a>,
}

#[derive(serde::Serialize)]
struct Named<'a> {
    #[serde(serialize_with = "identity")]
    id: Id,
    name: &'a str,
}

#[derive(serde::Serialize)]
struct ApplicationCredential<'a> {
    #[serde(flatten)]
    own: Named<'a>,
    restricted: bool,
}

#[derive(serde::Serialize)]
struct Trust {
    #[serde(serialize_with = "identity")]
    id: Id,
    trustor_user: Agent,
    trustee_user: Agent,
    impersonation: bool,
}

#[derive(serde::Serialize)]
struct Agent {
    #[serde(serialize_with = "identity")]
    id: Id,
}

struct Audit(AuditId);

/// A catalogue.
pub(crate) struct Catalogue<'a>(pub(crate) &'a [Entry]);

#[derive(serde::Serialize)]
struct Service<'a> {
    endpoints: Endpoints<'a>,
    #[serde(flatten)]
    own: Named<'a>,
    r#type: &'a str,
}

struct Endpoints<'a>(&'a Entry);

/// What a token says; without a catalogue where none is given.
pub(crate) fn token<'a>(session: &'a Session, catalogue: Option<&'a [Entry]>) -> Document<'a> {
    let token = &session.token;
    let is_scoped = !matches!(session.place, Place::Nowhere);
    let password = session.user.spec.passwords.first();
    Document {
        token: Token {
            methods: token.methods.iter().map(|method| word(*method)).collect(),
            user: User {
                own: InDomain {
                    domain: named(&session.user_domain),
                    own: Named {
                        id: session.user.meta.id,
                        name: &session.user.meta.name,
                    },
                },
                password_expires_at: password.and_then(|password| password.expires_at),
            },
            audit_ids: [Some(token.audit), token.parent_audit]
                .into_iter()
                .flatten()
                .map(Audit)
                .collect(),
            expires_at: token.expires_at,
            issued_at: token.issued_at,
            scope: match &session.place {
                Place::Nowhere => Scope::Nowhere {},
                Place::Project { project, domain } => Scope::Project {
                    project: InDomain {
                        domain: named(domain),
                        own: named(project),
                    },
                    is_domain: project.spec.is_domain,
                },
                Place::Domain(domain) => Scope::Domain {
                    domain: named(domain),
                },
                Place::System => Scope::System {
                    system: System { all: true },
                },
            },
            roles: is_scoped.then(|| {
                let role = |role: &'a std::sync::Arc<model::role::Role>| Named {
                    id: role.meta.id,
                    name: &role.meta.name,
                };
                session.roles.iter().map(role).collect()
            }),
            catalog: catalogue.filter(|_| is_scoped).map(Catalogue),
            application_credential: session.application_credential.as_ref().map(|credential| {
                ApplicationCredential {
                    own: Named {
                        id: credential.meta.id,
                        name: &credential.meta.name,
                    },
                    restricted: !credential.spec.unrestricted,
                }
            }),
            trust: session.trust.as_ref().map(|trust| Trust {
                id: trust.meta.id,
                trustor_user: Agent {
                    id: trust.spec.trustor,
                },
                trustee_user: Agent {
                    id: trust.spec.trustee,
                },
                impersonation: trust.spec.impersonation,
            }),
        },
    }
}

fn named(project: &Project) -> Named<'_> {
    Named {
        id: project.meta.id,
        name: &project.meta.name,
    }
}

const fn word(method: Method) -> &'static str {
    match method {
        Method::Password => "password",
        Method::Token => "token",
        Method::ApplicationCredential => "application_credential",
        Method::Ec2Credential => "ec2credential",
    }
}

impl Serialize for Audit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(&self.0, &URL_SAFE_NO_PAD))
    }
}

impl Serialize for Catalogue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|entry| Service {
            endpoints: Endpoints(entry),
            own: Named {
                id: entry.service.meta.id,
                name: entry.service.spec.name.as_deref().unwrap_or_default(),
            },
            r#type: &entry.service.spec.kind,
        }))
    }
}

impl Serialize for Endpoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Shown<'a> {
            #[serde(serialize_with = "identity")]
            id: Id,
            interface: &'a str,
            region: Option<&'a str>,
            region_id: Option<&'a str>,
            url: &'a str,
        }
        serializer.collect_seq(self.0.endpoints.iter().map(|(endpoint, url)| {
            let Endpoint { meta, spec, .. } = &**endpoint;
            Shown {
                id: meta.id,
                interface: spec.interface.as_str(),
                region: spec.region.as_deref(),
                region_id: spec.region.as_deref(),
                url,
            }
        }))
    }
}

fn identity<S: Serializer>(id: &Id, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id::show(*id))
}

fn micros<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time::micros(*at))
}

fn micros_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => micros(at, serializer),
        None => serializer.serialize_none(),
    }
}

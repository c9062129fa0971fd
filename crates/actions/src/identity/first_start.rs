//! What every installation has from its first start: a domain, an operator, roles, flavors, a catalogue, a
//! type of volumes.

use std::collections::{BTreeMap, BTreeSet};

use model::assignment::{Actor, Assignment, Grant, Target};
use model::endpoint::{Endpoint, EndpointSpec, Interface};
use model::project::{Project, ProjectSpec};
use model::region::{Region, RegionSpec};
use model::role::{Role, RoleSpec};
use model::service::{Service, ServiceSpec};
use model::user::{Password, User, UserOptions, UserSpec};
use model::{Id, Meta, ProjectId};
use serde_json::Map;
use store::Transaction;

use super::key_ring;
use crate::{ActionError, Caller, Cloud};

/// The region that is there from the first start.
pub const REGION: &str = "RegionOne";
/// Marks services and endpoints that are ours, and says which.
const OURS: &str = "longshore.built-in";
/// Roles from the first start; each implies the next.
const ROLES: [&str; 3] = ["admin", "member", "reader"];
/// Roles that no other implies.
const FURTHER_ROLES: [&str; 2] = ["manager", "service"];

/// A service of our own, for the catalogue.
#[derive(Clone, Debug)]
pub struct OwnService {
    /// What it is: `identity`.
    pub kind: &'static str,
    /// What it is called: `keystone`.
    pub name: &'static str,
    /// Where it answers.
    pub url: String,
}

/// Makes what is missing of it, and answers whether this was the first start.
///
/// `password` is the operator's, and matters only then.
///
/// # Errors
/// When the store fails.
pub async fn ensure(
    cloud: &Cloud,
    services: &[OwnService],
    password: &str,
) -> Result<bool, ActionError> {
    key_ring::turn(cloud).await?;
    let is_first = cloud.any_project(ProjectId::DEFAULT_DOMAIN.0).is_none();
    let mut transaction = cloud.store.transaction();
    if is_first {
        let hash = cloud.hash_password(password).await?;
        make_operator(cloud, &mut transaction, hash);
        crate::flavor::make_defaults(cloud, &mut transaction);
    }
    make_catalogue(cloud, &mut transaction, services);
    crate::volume_type::ensure_default(cloud, &mut transaction);
    cloud.commit_durably(transaction).await?;
    Ok(is_first)
}

fn make_operator(cloud: &Cloud, transaction: &mut Transaction, password_hash: String) {
    let now = cloud.now();
    let record = |name: &str, owner: ProjectId, id: Id| {
        let mut meta = Meta::new(name, owner, now);
        meta.id = id;
        meta
    };
    let project = |meta: Meta, parent: Option<Id>, description: &str| Project {
        meta,
        spec: ProjectSpec {
            is_domain: parent.is_none(),
            parent,
            description: description.to_owned(),
            enabled: true,
            tags: BTreeSet::new(),
            immutable: None,
            extra: Map::new(),
        },
    };
    let domain = ProjectId::DEFAULT_DOMAIN;
    let default = project(
        record("Default", ProjectId::SYSTEM, domain.0),
        None,
        "The default domain",
    );
    let own = project(
        record("admin", domain, ProjectId::ADMIN.0),
        Some(domain.0),
        "The operator's own project, in which the Docker socket acts",
    );
    for project in [default, own] {
        transaction.insert(project.meta.id, project);
    }
    let user = User {
        meta: record("admin", domain, Caller::ADMIN_USER),
        spec: UserSpec {
            enabled: true,
            description: None,
            default_project: None,
            passwords: vec![Password {
                hash: password_hash,
                set_at: now,
                expires_at: None,
                set_by_admin: false,
            }],
            tokens_valid_from: None,
            options: UserOptions::default(),
            extra: Map::new(),
        },
    };
    transaction.insert(user.meta.id, user);
    let admin = make_roles(cloud, transaction);
    for target in [Target::Project(ProjectId::ADMIN.0), Target::System] {
        let grant = Grant {
            actor: Actor::User(Caller::ADMIN_USER),
            target,
            role: admin,
            inherited: false,
        };
        let meta = Meta::new(grant.name(), ProjectId::SYSTEM, now);
        transaction.insert(meta.id, Assignment { meta, spec: grant });
    }
    let meta = Meta::new(REGION, ProjectId::SYSTEM, now);
    let spec = RegionSpec::default();
    transaction.insert(meta.id, Region { meta, spec });
}

/// Makes the roles and answers the first one's identity.
fn make_roles(cloud: &Cloud, transaction: &mut Transaction) -> Id {
    let mut implied: Option<Id> = None;
    let further = FURTHER_ROLES.iter().map(|name| (name, false));
    for (name, implies) in further.chain(ROLES.iter().rev().map(|name| (name, true))) {
        let meta = Meta::new(*name, ProjectId::SYSTEM, cloud.now());
        let id = meta.id;
        let spec = RoleSpec {
            implies: implied.filter(|_| implies).into_iter().collect(),
            immutable: Some(true).filter(|_| implies),
            ..RoleSpec::default()
        };
        transaction.insert(id, Role { meta, spec });
        if implies {
            implied = Some(id);
        }
    }
    implied.unwrap_or(Caller::ADMIN_USER)
}

/// Our own services, where they are missing, at the addresses that they have today.
fn make_catalogue(cloud: &Cloud, transaction: &mut Transaction, services: &[OwnService]) {
    let known: BTreeMap<String, Id> = cloud
        .store
        .list::<Service>()
        .into_iter()
        .filter_map(|(id, found)| Some((found.value.meta.labels.get(OURS)?.clone(), id)))
        .collect();
    for own in services {
        let service = known.get(own.kind).copied().unwrap_or_else(|| {
            let meta = record_of(cloud, own.kind);
            let id = meta.id;
            let spec = ServiceSpec {
                name: Some(own.name.to_owned()),
                kind: own.kind.to_owned(),
                description: None,
                enabled: true,
                extra: Map::new(),
            };
            transaction.insert(id, Service { meta, spec });
            id
        });
        for interface in [Interface::Admin, Interface::Internal, Interface::Public] {
            make_endpoint(cloud, transaction, service, interface, own);
        }
    }
}

fn make_endpoint(
    cloud: &Cloud,
    transaction: &mut Transaction,
    service: Id,
    interface: Interface,
    own: &OwnService,
) {
    let label = format!("{} {}", own.kind, interface.as_str());
    let found = cloud
        .store
        .list::<Endpoint>()
        .into_iter()
        .find(|(_, found)| found.value.meta.labels.get(OURS) == Some(&label));
    match found {
        Some((_, found)) if found.value.spec.url == own.url => {}
        Some((id, found)) => {
            let mut endpoint = Endpoint::clone(&found.value);
            endpoint.spec.url.clone_from(&own.url);
            transaction.update(id, found.revision, endpoint);
        }
        None => {
            let meta = record_of(cloud, &label);
            let spec = EndpointSpec {
                service,
                region: Some(REGION.to_owned()),
                interface,
                url: own.url.clone(),
                name: None,
                enabled: true,
                extra: Map::new(),
            };
            transaction.insert(meta.id, Endpoint { meta, spec });
        }
    }
}

/// Metadata of a service or endpoint of ours: named by its own identity.
fn record_of(cloud: &Cloud, label: &str) -> Meta {
    let mut meta = Meta::new("", ProjectId::SYSTEM, cloud.now());
    meta.name = meta.id.simple();
    meta.labels.insert(OURS.to_owned(), label.to_owned());
    meta
}

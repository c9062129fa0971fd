//! Limits: how much of what a project may have, for services that ask.

use std::sync::Arc;

use model::limit::{Limit, RegisteredLimit, Resource};
use model::service::Service;
use model::{Id, Meta, ProjectId};

use super::record::{invalid, missing, refused};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, Scope};

/// A registered limit to make, or to change to.
#[derive(Clone, Debug)]
pub struct NewRegistered {
    /// Of what.
    pub resource: Resource,
    /// How much; -1 is without limit.
    pub amount: i64,
    /// For people.
    pub description: Option<String>,
}

/// What is to be of a registered limit; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The service that counts it.
    pub service: Option<Id>,
    /// The region.
    pub region: Option<Option<String>>,
    /// What it is called.
    pub resource: Option<String>,
    /// How much.
    pub amount: Option<i64>,
    /// For people.
    pub description: Option<Option<String>>,
}

/// A limit of one project or domain to make.
#[derive(Clone, Debug)]
pub struct NewLimit {
    /// Whose.
    pub owner: Id,
    /// The owner is a domain.
    pub is_domain: bool,
    /// As there.
    pub limit: NewRegistered,
}

fn check(cloud: &Cloud, resource: &Resource) -> Result<(), ActionError> {
    if cloud.store.get::<Service>(resource.service).is_none() {
        return Err(invalid(format!(
            "Could not find service: {}.",
            resource.service.simple()
        )));
    }
    if let Some(region) = &resource.region
        && super::service::get_region(cloud, region).is_err()
    {
        return Err(invalid(format!("Could not find region: {region}.")));
    }
    Ok(())
}

/// Makes registered limits: all of them or none.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] where there is one of the resource.
pub async fn register(
    cloud: &Cloud,
    caller: &Caller,
    new: Vec<NewRegistered>,
) -> Result<Vec<Arc<RegisteredLimit>>, ActionError> {
    caller.may(Action::CreateRegisteredLimits, &Target::SYSTEM)?;
    let mut transaction = cloud.store.transaction();
    let mut made = Vec::with_capacity(new.len());
    for one in new {
        check(cloud, &one.resource)?;
        let meta = Meta::new(one.resource.name(), ProjectId::SYSTEM, cloud.now());
        let limit = RegisteredLimit {
            meta,
            resource: one.resource,
            amount: one.amount,
            description: one.description,
        };
        transaction.insert(limit.meta.id, limit.clone());
        made.push(Arc::new(limit));
    }
    cloud.commit_durably(transaction).await?;
    Ok(made)
}

/// The registered limits that fit. Everybody may see them.
#[must_use]
pub fn list_registered(
    cloud: &Cloud,
    fits: impl Fn(&RegisteredLimit) -> bool,
) -> Vec<Arc<RegisteredLimit>> {
    cloud.all(fits)
}

/// One registered limit. Everybody may see it.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn get_registered(cloud: &Cloud, id: Id) -> Result<Arc<RegisteredLimit>, ActionError> {
    Ok(cloud.find::<RegisteredLimit>(id)?.value)
}

/// How much a project may have of what the services of one kind count; `None` where nobody has said
/// so, -1 is without limit.
pub(crate) fn of_project(
    cloud: &Cloud,
    project: ProjectId,
    kind: &str,
    resource: &str,
) -> Option<i64> {
    let services = cloud.all::<Service>(|service| service.spec.kind == kind);
    let registered = cloud.all::<RegisteredLimit>(|limit| {
        limit.resource.name == resource
            && services
                .iter()
                .any(|service| service.meta.id == limit.resource.service)
    });
    let registered = registered.first()?;
    let own = cloud.all::<Limit>(|limit| {
        limit.registered == registered.meta.id && limit.meta.project == project && !limit.is_domain
    });
    Some(own.first().map_or(registered.amount, |limit| limit.amount))
}

fn is_used(cloud: &Cloud, id: Id) -> bool {
    !cloud
        .all::<Limit>(|limit| limit.registered == id)
        .is_empty()
}

/// Changes a registered limit.
///
/// # Errors
/// As [`get_registered`], and [`crate::ErrorKind::Forbidden`] to change what limits refer to.
pub async fn update_registered(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<RegisteredLimit>, ActionError> {
    caller.may(Action::UpdateRegisteredLimit, &Target::SYSTEM)?;
    let is_used = is_used(cloud, id);
    cloud
        .change::<RegisteredLimit>(id, |limit| {
            let resource = &mut limit.resource;
            resource.service = changes.service.unwrap_or(resource.service);
            if let Some(region) = &changes.region {
                resource.region.clone_from(region);
            }
            if let Some(name) = &changes.resource {
                resource.name.clone_from(name);
            }
            let name = resource.name();
            if is_used && name != limit.meta.name {
                return Err(refused(format!(
                    "Unable to update or delete registered limit {} because there are project \
                     limits associated with it.",
                    id.simple()
                )));
            }
            check(cloud, resource)?;
            limit.meta.name = name;
            limit.amount = changes.amount.unwrap_or(limit.amount);
            if let Some(description) = &changes.description {
                limit.description.clone_from(description);
            }
            Ok(())
        })
        .await
}

/// Deletes a registered limit.
///
/// # Errors
/// As [`update_registered`].
pub async fn delete_registered(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteRegisteredLimit, &Target::SYSTEM)?;
    cloud.find::<RegisteredLimit>(id)?;
    if is_used(cloud, id) {
        return Err(refused(format!(
            "Unable to update or delete registered limit {} because there are project limits \
             associated with it.",
            id.simple()
        )));
    }
    cloud.unmake::<RegisteredLimit>(id).await
}

/// Makes limits of projects and domains: all of them or none.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] where the resource is not registered.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: Vec<NewLimit>,
) -> Result<Vec<Arc<Limit>>, ActionError> {
    caller.may(Action::CreateLimits, &Target::SYSTEM)?;
    let mut transaction = cloud.store.transaction();
    let mut made = Vec::with_capacity(new.len());
    for NewLimit {
        owner,
        is_domain,
        limit,
    } in new
    {
        let name = limit.resource.name();
        let registered = cloud
            .store
            .by_name::<RegisteredLimit>(ProjectId::SYSTEM, &name)
            .ok_or_else(|| {
                refused(format!(
                    "Unable to create limit for {}: there is no registered limit of it.",
                    limit.resource.name
                ))
            })?;
        if cloud.any_project(owner).is_none() {
            return Err(missing::<model::project::Project>(owner));
        }
        let limit = Limit {
            meta: Meta::new(name, ProjectId(owner), cloud.now()),
            resource: limit.resource,
            registered: registered.value.meta.id,
            is_domain,
            amount: limit.amount,
            description: limit.description,
        };
        transaction.insert(limit.meta.id, limit.clone());
        made.push(Arc::new(limit));
    }
    cloud.commit_durably(transaction).await?;
    Ok(made)
}

/// The limits that fit and concern the caller; an admin, and who reads in the system, see all.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller, fits: impl Fn(&Limit) -> bool) -> Vec<Arc<Limit>> {
    let sees_all =
        caller.is_admin() || (caller.scope == Scope::System && caller.has_role("reader"));
    cloud.all::<Limit>(|limit| (sees_all || concerns(cloud, caller, limit)) && fits(limit))
}

fn concerns(cloud: &Cloud, caller: &Caller, limit: &Limit) -> bool {
    caller
        .may(Action::GetLimit, &target(cloud, Some(limit)))
        .is_ok()
}

fn target(cloud: &Cloud, limit: Option<&Limit>) -> Target {
    limit.map_or(Target::SYSTEM, |limit| Target {
        project: Some(limit.meta.project),
        domain: cloud
            .any_project(limit.meta.project.0)
            .map(|project| project.domain()),
        user: None,
    })
}

/// One limit.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Limit>, ActionError> {
    let found = cloud.store.get::<Limit>(id).map(|found| found.value);
    caller.may(Action::GetLimit, &target(cloud, found.as_deref()))?;
    found.ok_or_else(|| missing::<Limit>(id))
}

/// Changes how much a limit is, or what is said about it.
///
/// # Errors
/// As [`get`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    amount: Option<i64>,
    description: Option<Option<String>>,
) -> Result<Arc<Limit>, ActionError> {
    caller.may(Action::UpdateLimit, &Target::SYSTEM)?;
    cloud
        .change::<Limit>(id, |limit| {
            limit.amount = amount.unwrap_or(limit.amount);
            if let Some(description) = &description {
                limit.description.clone_from(description);
            }
            Ok(())
        })
        .await
}

/// Deletes a limit.
///
/// # Errors
/// As [`get`].
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteLimit, &Target::SYSTEM)?;
    cloud.find::<Limit>(id)?;
    cloud.unmake::<Limit>(id).await
}

//! Projects, and domains, which are projects too.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::application_credential::ApplicationCredential;
use model::assignment::{Actor, Assignment, Target as Place};
use model::credential::Credential;
use model::group::Group;
use model::limit::Limit;
use model::project::{Project, ProjectSpec};
use model::role::Role;
use model::user::User;
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};
use store::Transaction;

use super::record::{check_mutable, invalid, not_found, refused};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// How deep projects may nest, the domain included.
const DEEPEST: usize = 5;

/// What is to be of a project or domain; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Whether anybody can act in it.
    pub enabled: Option<bool>,
    /// Its tags, all of them.
    pub tags: Option<BTreeSet<String>>,
    /// Whether it can be changed.
    pub immutable: Option<Option<bool>>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// A project to make.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// What it is to be; it must have a name.
    pub changes: Changes,
    /// It is to be a domain.
    pub is_domain: bool,
    /// Its domain; `None` takes the parent's, or the caller's.
    pub domain: Option<Id>,
    /// The project above it; `None` takes the domain.
    pub parent: Option<Id>,
    /// Its identity, where a client may choose it.
    pub id: Option<Id>,
}

/// Makes a project, or a domain.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] when the name is taken, [`crate::ErrorKind::NotFound`] without
/// a parent, [`crate::ErrorKind::Invalid`] when the parent is of another domain.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewProject,
) -> Result<Arc<Project>, ActionError> {
    let (owner, parent) = if new.is_domain {
        caller.may(Action::CreateDomain, &Target::SYSTEM)?;
        if new.parent.is_some() || new.domain.is_some() {
            return Err(invalid("only root projects are allowed to act as domains."));
        }
        (ProjectId::SYSTEM, None)
    } else {
        let parent = new
            .parent
            .map(|id| cloud.any_project(id).ok_or_else(|| gone(id)));
        let parent = parent.transpose()?;
        let domain = new.domain.unwrap_or_else(|| match &parent {
            Some(parent) => parent.domain(),
            None => domain_of(caller),
        });
        caller.may(Action::CreateProject, &Target::domain(domain))?;
        if cloud.domain(&super::Named::Id(domain)).is_none() {
            return Err(not_found("domain", &domain.simple()));
        }
        if let Some(parent) = &parent {
            check_parent(cloud, parent, domain)?;
        }
        (ProjectId(domain), Some(new.parent.unwrap_or(domain)))
    };
    let changes = new.changes;
    let name = changes
        .name
        .ok_or_else(|| invalid("'name' is a required property"))?;
    let mut meta = Meta::new(name, owner, cloud.now());
    if let Some(id) = new.id {
        meta.id = id;
    }
    let spec = ProjectSpec {
        is_domain: new.is_domain,
        parent,
        description: changes.description.unwrap_or_default(),
        enabled: changes.enabled.unwrap_or(true),
        tags: changes.tags.unwrap_or_default(),
        immutable: changes.immutable.flatten(),
        extra: changes.extra,
    };
    cloud.make(Project { meta, spec }).await
}

fn check_parent(cloud: &Cloud, parent: &Project, domain: Id) -> Result<(), ActionError> {
    if parent.domain() != domain {
        return Err(invalid(
            "The parent project and the new project must be of the same domain.",
        ));
    }
    if !cloud.is_open(parent) {
        return Err(refused(format!(
            "cannot create a project in a branch containing a disabled project: {}",
            parent.meta.id.simple()
        )));
    }
    if cloud.above(parent.meta.id).len() + 1 >= DEEPEST {
        return Err(refused(format!(
            "Max hierarchy depth reached for {} branch.",
            parent.meta.id.simple()
        )));
    }
    Ok(())
}

/// The domain in which a caller makes things that name none.
pub(super) fn domain_of(caller: &Caller) -> Id {
    match caller.scope {
        crate::Scope::Project { domain, .. } | crate::Scope::Domain(domain) => domain,
        crate::Scope::System | crate::Scope::Unscoped => caller.user_domain,
    }
}

/// The projects that fit, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Project) -> bool,
) -> Result<Vec<Arc<Project>>, ActionError> {
    caller.may(Action::ListProjects, &of_callers_domain(caller))?;
    let within = within(caller);
    Ok(sorted(cloud, |project| {
        within.is_none_or(|domain| project.domain() == domain) && fits(project)
    }))
}

/// The domains that fit, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list_domains(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Project) -> bool,
) -> Result<Vec<Arc<Project>>, ActionError> {
    caller.may(Action::ListDomains, &of_callers_domain(caller))?;
    let within = within(caller);
    Ok(sorted(cloud, |project| {
        project.spec.is_domain
            && within.is_none_or(|domain| project.meta.id == domain)
            && fits(project)
    }))
}

fn sorted(cloud: &Cloud, fits: impl Fn(&Project) -> bool) -> Vec<Arc<Project>> {
    let mut projects = cloud.all(fits);
    projects.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    projects
}

/// What a list is about: the caller's domain, where they act in one.
pub(super) fn of_callers_domain(caller: &Caller) -> Target {
    Target {
        domain: within(caller),
        ..Target::SYSTEM
    }
}

/// The domain that whoever acts in one does not see beyond.
pub(super) fn within(caller: &Caller) -> Option<Id> {
    match caller.scope {
        crate::Scope::Domain(domain) => Some(domain),
        _ => None,
    }
}

/// One project, or a domain as one.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Project>, ActionError> {
    let found = cloud.any_project(id);
    caller.may(Action::GetProject, &target_of(found.as_deref()))?;
    found.ok_or_else(|| gone(id))
}

/// One domain.
///
/// # Errors
/// As [`get`].
pub fn get_domain(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Project>, ActionError> {
    caller.may(Action::GetDomain, &Target::domain(id))?;
    cloud
        .domain(&super::Named::Id(id))
        .ok_or_else(|| not_found("domain", &id.simple()))
}

/// The projects above one, the nearest first; only those that `caller` may see.
///
/// # Errors
/// As [`get`].
pub fn above(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Arc<Project>>, ActionError> {
    get(cloud, caller, id)?;
    let above = cloud.above(id).into_iter().filter_map(|place| match place {
        Place::Project(id) => cloud.any_project(id),
        Place::Domain(_) | Place::System => None,
    });
    Ok(above.collect())
}

/// The projects below one.
///
/// # Errors
/// As [`get`].
pub fn below(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Arc<Project>>, ActionError> {
    get(cloud, caller, id)?;
    Ok(cloud.below(id))
}

impl Cloud {
    /// The projects below one, each after the one above it.
    pub(super) fn below(&self, id: Id) -> Vec<Arc<Project>> {
        let mut found = sorted(self, |project| project.spec.parent == Some(id));
        let children: Vec<Id> = found.iter().map(|project| project.meta.id).collect();
        for child in children {
            found.extend(self.below(child));
        }
        found
    }
}

fn target_of(project: Option<&Project>) -> Target {
    project.map_or(Target::SYSTEM, |project| Target {
        project: Some(project.as_owner()),
        domain: Some(project.domain()),
        user: None,
    })
}

/// Changes a project, or a domain.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::AlreadyExists`] when the name is taken.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<Project>, ActionError> {
    let found = cloud.any_project(id);
    let is_domain = found.as_ref().is_some_and(|found| found.spec.is_domain);
    let action = if is_domain {
        Action::UpdateDomain
    } else {
        Action::UpdateProject
    };
    caller.may(action, &target_of(found.as_deref()))?;
    cloud
        .change::<Project>(id, |project| {
            let spec = &mut project.spec;
            check_mutable("project", id, spec.immutable, changes.immutable)?;
            if let Some(name) = &changes.name {
                project.meta.name.clone_from(name);
            }
            if let Some(description) = &changes.description {
                spec.description.clone_from(description);
            }
            spec.enabled = changes.enabled.unwrap_or(spec.enabled);
            if let Some(tags) = &changes.tags {
                spec.tags.clone_from(tags);
            }
            if let Some(immutable) = changes.immutable {
                spec.immutable = immutable;
            }
            super::merge(&mut spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes a project with everything that was said about it.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::Forbidden`] for one that has others below it.
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let found = cloud.any_project(id);
    if found.as_ref().is_some_and(|found| found.spec.is_domain) {
        return delete_domain(cloud, caller, id).await;
    }
    caller.may(Action::DeleteProject, &target_of(found.as_deref()))?;
    let found = found.ok_or_else(|| gone(id))?;
    check_mutable("project", id, found.spec.immutable, None)?;
    if !cloud.below(id).is_empty() {
        return Err(refused(format!(
            "Cannot delete the project {} since it is not a leaf in the hierarchy. Use the cascade \
             option if you want to delete a whole subtree.",
            id.simple()
        )));
    }
    let mut transaction = cloud.store.transaction();
    forget_project(cloud, &mut transaction, id);
    cloud.commit_durably(transaction).await
}

/// Deletes a domain with everything in it.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::Forbidden`] for one that is enabled.
pub async fn delete_domain(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteDomain, &Target::domain(id))?;
    let domain = cloud
        .domain(&super::Named::Id(id))
        .ok_or_else(|| not_found("domain", &id.simple()))?;
    check_mutable("domain", id, domain.spec.immutable, None)?;
    if domain.spec.enabled {
        return Err(refused(
            "Cannot delete a domain that is enabled, please disable it first.",
        ));
    }
    let owner = domain.as_owner();
    let mut transaction = cloud.store.transaction();
    for project in cloud.below(id) {
        forget_project(cloud, &mut transaction, project.meta.id);
    }
    for user in cloud.all::<User>(|user| user.meta.project == owner) {
        super::user::forget(cloud, &mut transaction, user.meta.id);
    }
    for group in cloud.all::<Group>(|group| group.meta.project == owner) {
        super::group::forget(cloud, &mut transaction, group.meta.id);
    }
    for role in cloud.all::<Role>(|role| role.meta.project == owner) {
        super::role::forget(cloud, &mut transaction, role.meta.id);
    }
    forget_project(cloud, &mut transaction, id);
    cloud.commit_durably(transaction).await
}

fn forget_project(cloud: &Cloud, transaction: &mut Transaction, id: Id) {
    forget_grants(cloud, transaction, |_, place| {
        place == Place::Project(id) || place == Place::Domain(id)
    });
    for credential in cloud.all::<ApplicationCredential>(|known| known.spec.project == id) {
        transaction.delete::<ApplicationCredential>(credential.meta.id, None);
    }
    for credential in cloud.all::<Credential>(|known| known.spec.project == Some(id)) {
        transaction.delete::<Credential>(credential.meta.id, None);
    }
    super::trust::forget(cloud, transaction, |known| known.spec.project == id);
    for limit in cloud.all::<Limit>(|limit| limit.meta.project == ProjectId(id)) {
        transaction.delete::<Limit>(limit.meta.id, None);
    }
    crate::quota::forget(cloud, transaction, ProjectId(id));
    transaction.delete::<Project>(id, None);
}

/// Takes back every grant to or in what is being deleted.
pub(super) fn forget_grants(
    cloud: &Cloud,
    transaction: &mut Transaction,
    concerns: impl Fn(Actor, Place) -> bool,
) {
    for (id, found) in cloud.store.list::<Assignment>() {
        if concerns(found.value.spec.actor, found.value.spec.target) {
            transaction.delete::<Assignment>(id, None);
        }
    }
}

fn gone(id: Id) -> ActionError {
    not_found("project", &id.simple())
}

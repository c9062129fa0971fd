//! Groups, and who is in them.

use std::sync::Arc;

use model::assignment::Actor;
use model::group::{Group, GroupSpec};
use model::user::User;
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};
use store::Transaction;

use super::project::{domain_of, forget_grants, of_callers_domain, within};
use super::record::{invalid, not_found};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What is to be of a group; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// Makes a group.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] when the name is taken in the domain.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    domain: Option<Id>,
    changes: Changes,
) -> Result<Arc<Group>, ActionError> {
    let domain = domain.unwrap_or_else(|| domain_of(caller));
    caller.may(Action::CreateGroup, &Target::domain(domain))?;
    if cloud.domain(&super::Named::Id(domain)).is_none() {
        return Err(not_found("domain", &domain.simple()));
    }
    let name = changes
        .name
        .ok_or_else(|| invalid("'name' is a required property"))?;
    let meta = Meta::new(name, ProjectId(domain), cloud.now());
    let spec = GroupSpec {
        description: changes.description.unwrap_or_default(),
        extra: changes.extra,
        ..GroupSpec::default()
    };
    cloud.make(Group { meta, spec }).await
}

/// The groups that fit, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Group) -> bool,
) -> Result<Vec<Arc<Group>>, ActionError> {
    caller.may(Action::ListGroups, &of_callers_domain(caller))?;
    let within = within(caller);
    Ok(sorted(cloud, |group| {
        within.is_none_or(|domain| group.meta.project.0 == domain) && fits(group)
    }))
}

fn sorted(cloud: &Cloud, fits: impl Fn(&Group) -> bool) -> Vec<Arc<Group>> {
    let mut groups = cloud.all(fits);
    groups.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    groups
}

fn target(cloud: &Cloud, id: Id) -> Target {
    Target {
        domain: cloud
            .store
            .get::<Group>(id)
            .map(|found| found.value.meta.project.0),
        ..Target::SYSTEM
    }
}

/// One group.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Group>, ActionError> {
    caller.may(Action::GetGroup, &target(cloud, id))?;
    Ok(cloud.find::<Group>(id)?.value)
}

/// Changes a group.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::AlreadyExists`] when the name is taken.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<Group>, ActionError> {
    caller.may(Action::UpdateGroup, &target(cloud, id))?;
    cloud
        .change::<Group>(id, |group| {
            if let Some(name) = &changes.name {
                group.meta.name.clone_from(name);
            }
            if let Some(description) = &changes.description {
                group.spec.description.clone_from(description);
            }
            super::merge(&mut group.spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes a group, and takes back what it was given.
///
/// # Errors
/// As [`get`].
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteGroup, &target(cloud, id))?;
    cloud.find::<Group>(id)?;
    let mut transaction = cloud.store.transaction();
    forget(cloud, &mut transaction, id);
    cloud.commit_durably(transaction).await
}

pub(super) fn forget(cloud: &Cloud, transaction: &mut Transaction, id: Id) {
    forget_grants(cloud, transaction, |actor, _| actor == Actor::Group(id));
    transaction.delete::<Group>(id, None);
}

/// Puts a user into a group.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::NotFound`] without the user.
pub async fn add(cloud: &Cloud, caller: &Caller, id: Id, user: Id) -> Result<(), ActionError> {
    caller.may(Action::AddUserToGroup, &target(cloud, id))?;
    cloud.find::<User>(user)?;
    let now = cloud.now();
    cloud
        .change::<Group>(id, |group| {
            group.spec.members.entry(user).or_insert(now);
            Ok(())
        })
        .await
        .map(drop)
}

/// Takes a user out of a group.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::NotFound`] when the user is not in it.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id, user: Id) -> Result<(), ActionError> {
    caller.may(Action::RemoveUserFromGroup, &target(cloud, id))?;
    cloud
        .change::<Group>(id, |group| match group.spec.members.remove(&user) {
            Some(_) => Ok(()),
            None => Err(not_in(id, user)),
        })
        .await
        .map(drop)
}

/// Whether a user is in a group.
///
/// # Errors
/// As [`remove`].
pub fn check(cloud: &Cloud, caller: &Caller, id: Id, user: Id) -> Result<(), ActionError> {
    caller.may(Action::CheckUserInGroup, &target(cloud, id))?;
    let group = cloud.find::<Group>(id)?.value;
    if group.spec.members.contains_key(&user) {
        Ok(())
    } else {
        Err(not_in(id, user))
    }
}

fn not_in(id: Id, user: Id) -> ActionError {
    let user = user.simple();
    not_found(
        "user",
        &format!("User {user} not found in group {}", id.simple()),
    )
}

/// The users in a group.
///
/// # Errors
/// As [`get`].
pub fn users(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Arc<User>>, ActionError> {
    caller.may(Action::ListUsersInGroup, &target(cloud, id))?;
    let group = cloud.find::<Group>(id)?.value;
    let members = group.spec.members.keys();
    Ok(members
        .filter_map(|user| cloud.store.get::<User>(*user))
        .map(|found| found.value)
        .collect())
}

/// The groups that a user is in.
///
/// # Errors
/// As [`get`].
pub fn of_user(cloud: &Cloud, caller: &Caller, user: Id) -> Result<Vec<Arc<Group>>, ActionError> {
    caller.may(Action::ListGroupsForUser, &cloud.target_of_user(user))?;
    cloud.find::<User>(user)?;
    Ok(sorted(cloud, |group| {
        group.spec.members.contains_key(&user)
    }))
}

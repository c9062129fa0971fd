//! Roles, and which of them imply which.

use std::sync::Arc;

use model::application_credential::ApplicationCredential;
use model::assignment::Assignment;
use model::role::{Role, RoleSpec};
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};
use store::Transaction;

use super::record::{check_mutable, invalid, missing, not_found, refused};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What is to be of a role; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<Option<String>>,
    /// Whether it can be changed.
    pub immutable: Option<Option<bool>>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// Makes a role: the system's, or one of a domain's own.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] when the name is taken there.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    domain: Option<Id>,
    changes: Changes,
) -> Result<Arc<Role>, ActionError> {
    let (action, owner) = match domain {
        None => (Action::CreateRole, ProjectId::SYSTEM),
        Some(domain) => (Action::CreateDomainRole, ProjectId(domain)),
    };
    caller.may(action, &Target::SYSTEM)?;
    if let Some(domain) = domain
        && cloud.domain(&super::Named::Id(domain)).is_none()
    {
        return Err(not_found("domain", &domain.simple()));
    }
    let name = changes
        .name
        .ok_or_else(|| invalid("'name' is a required property"))?;
    let meta = Meta::new(name, owner, cloud.now());
    let spec = RoleSpec {
        description: changes.description.flatten(),
        immutable: changes.immutable.flatten(),
        extra: changes.extra,
        ..RoleSpec::default()
    };
    cloud.make(Role { meta, spec }).await
}

/// The roles of the system, or of a domain, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    domain: Option<Id>,
    fits: impl Fn(&Role) -> bool,
) -> Result<Vec<Arc<Role>>, ActionError> {
    let (action, owner) = match domain {
        None => (Action::ListRoles, ProjectId::SYSTEM),
        Some(domain) => (Action::ListDomainRoles, ProjectId(domain)),
    };
    caller.may(action, &Target::SYSTEM)?;
    let mut roles = cloud.all::<Role>(|role| role.meta.project == owner && fits(role));
    roles.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    Ok(roles)
}

/// One role.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Role>, ActionError> {
    caller.may(Action::GetRole, &Target::SYSTEM)?;
    Ok(cloud.find::<Role>(id)?.value)
}

/// Changes a role.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::AlreadyExists`] when the name is taken.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<Role>, ActionError> {
    caller.may(Action::UpdateRole, &Target::SYSTEM)?;
    cloud
        .change::<Role>(id, |role| {
            check_mutable("role", id, role.spec.immutable, changes.immutable)?;
            if let Some(name) = &changes.name {
                role.meta.name.clone_from(name);
            }
            if let Some(description) = &changes.description {
                role.spec.description.clone_from(description);
            }
            if let Some(immutable) = changes.immutable {
                role.spec.immutable = immutable;
            }
            super::merge(&mut role.spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes a role, and takes it back from whoever has it.
///
/// # Errors
/// As [`get`].
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteRole, &Target::SYSTEM)?;
    let role = cloud.find::<Role>(id)?.value;
    check_mutable("role", id, role.spec.immutable, None)?;
    let mut transaction = cloud.store.transaction();
    for other in cloud.all::<Role>(|other| other.spec.implies.contains(&id)) {
        let mut other = Role::clone(&other);
        other.spec.implies.remove(&id);
        transaction.put(other.meta.id, other);
    }
    forget(cloud, &mut transaction, id);
    cloud.commit_durably(transaction).await
}

/// Deletes a role and what was granted in it.
pub(super) fn forget(cloud: &Cloud, transaction: &mut Transaction, id: Id) {
    for (assignment, found) in cloud.store.list::<Assignment>() {
        if found.value.spec.role == id {
            transaction.delete::<Assignment>(assignment, None);
        }
    }
    for known in cloud.all::<ApplicationCredential>(|known| known.spec.roles.contains(&id)) {
        transaction.delete::<ApplicationCredential>(known.meta.id, None);
    }
    transaction.delete::<Role>(id, None);
}

/// Lets whoever has `prior` have `implied` too.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::Forbidden`] where a role would imply itself.
pub async fn imply(
    cloud: &Cloud,
    caller: &Caller,
    prior: Id,
    implied: Id,
) -> Result<(Arc<Role>, Arc<Role>), ActionError> {
    caller.may(Action::CreateImpliedRole, &Target::SYSTEM)?;
    let target = cloud.find::<Role>(implied)?.value;
    if cloud.access().with_implied([implied]).contains(&prior) {
        return Err(refused(format!(
            "{} cannot be an implied roles",
            implied.simple()
        )));
    }
    let prior = cloud
        .change::<Role>(prior, |role| {
            role.spec.implies.insert(implied);
            Ok(())
        })
        .await?;
    Ok((prior, target))
}

/// Takes an implication back.
///
/// # Errors
/// As [`implied`].
pub async fn imply_no_more(
    cloud: &Cloud,
    caller: &Caller,
    prior: Id,
    implied: Id,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteImpliedRole, &Target::SYSTEM)?;
    cloud
        .change::<Role>(prior, |role| {
            if role.spec.implies.remove(&implied) {
                Ok(())
            } else {
                Err(no_implication(prior, implied))
            }
        })
        .await
        .map(drop)
}

/// Both roles of an implication.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::NotFound`] where the one does not imply the other.
pub fn implication(
    cloud: &Cloud,
    caller: &Caller,
    prior: Id,
    implied: Id,
) -> Result<(Arc<Role>, Arc<Role>), ActionError> {
    caller.may(Action::GetImpliedRole, &Target::SYSTEM)?;
    let role = cloud.find::<Role>(prior)?.value;
    let target = cloud.find::<Role>(implied)?.value;
    if role.spec.implies.contains(&implied) {
        Ok((role, target))
    } else {
        Err(no_implication(prior, implied))
    }
}

/// A role and those that it implies itself.
///
/// # Errors
/// As [`get`].
pub fn implied(cloud: &Cloud, caller: &Caller, prior: Id) -> Result<Implication, ActionError> {
    caller.may(Action::ListImpliedRoles, &Target::SYSTEM)?;
    let role = cloud
        .store
        .get::<Role>(prior)
        .ok_or_else(|| missing::<Role>(prior))?
        .value;
    let implied = direct(cloud, &role);
    Ok((role, implied))
}

/// A role, and those that it implies itself.
pub type Implication = (Arc<Role>, Vec<Arc<Role>>);

/// Every role that implies any, with those.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn implications(cloud: &Cloud, caller: &Caller) -> Result<Vec<Implication>, ActionError> {
    caller.may(Action::ListRoleInferenceRules, &Target::SYSTEM)?;
    let roles = cloud.all::<Role>(|role| !role.spec.implies.is_empty());
    Ok(roles
        .into_iter()
        .map(|role| {
            let implied = direct(cloud, &role);
            (role, implied)
        })
        .collect())
}

fn direct(cloud: &Cloud, role: &Role) -> Vec<Arc<Role>> {
    let implied = role.spec.implies.iter();
    implied
        .filter_map(|id| cloud.store.get::<Role>(*id))
        .map(|found| found.value)
        .collect()
}

fn no_implication(prior: Id, implied: Id) -> ActionError {
    not_found(
        "implied role",
        &format!("{} does not imply {}", prior.simple(), implied.simple()),
    )
}

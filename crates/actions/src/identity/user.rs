//! Users: making, changing and deleting them, and their passwords.

use std::sync::Arc;

use jiff::SignedDuration;
use model::application_credential::{AccessRule, ApplicationCredential};
use model::assignment::Actor;
use model::credential::Credential;
use model::group::Group;
use model::project::Project;
use model::user::{Password, User, UserOptions, UserSpec, UserStatus};
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};
use store::Transaction;

use super::project::{domain_of, forget_grants, of_callers_domain, within};
use super::record::{check_mutable, invalid, missing, not_found};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What is to be of a user; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<Option<String>>,
    /// Whether they can authenticate.
    pub enabled: Option<bool>,
    /// The project of tokens that ask for none.
    pub default_project: Option<Option<Id>>,
    /// The password; `Some(None)` takes it away.
    pub password: Option<Option<String>>,
    /// Exceptions from the rules, each to be set or taken back.
    pub options: Map<String, Value>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// Makes a user.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] when the name is taken in the domain.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    domain: Option<Id>,
    changes: Changes,
) -> Result<Arc<User>, ActionError> {
    let domain = domain.unwrap_or_else(|| domain_of(caller));
    caller.may(Action::CreateUser, &Target::domain(domain))?;
    if cloud.domain(&super::Named::Id(domain)).is_none() {
        return Err(not_found("domain", &domain.simple()));
    }
    let name = changes
        .name
        .ok_or_else(|| invalid("'name' is a required property"))?;
    let mut options = UserOptions::default();
    set_options(&mut options, &changes.options)?;
    let passwords = match changes.password.flatten() {
        Some(password) => vec![new_password(cloud, &options, &password, true).await?],
        None => Vec::new(),
    };
    let meta = Meta::new(name, ProjectId(domain), cloud.now());
    let spec = UserSpec {
        enabled: changes.enabled.unwrap_or(true),
        description: changes.description.flatten(),
        default_project: changes.default_project.flatten(),
        passwords,
        tokens_valid_from: None,
        options,
        extra: changes.extra,
    };
    cloud.make(User { meta, spec }).await
}

/// The users that fit, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&User) -> bool,
) -> Result<Vec<Arc<User>>, ActionError> {
    caller.may(Action::ListUsers, &of_callers_domain(caller))?;
    let within = within(caller);
    let mut users = cloud.all::<User>(|user| {
        within.is_none_or(|domain| user.meta.project.0 == domain) && fits(user)
    });
    users.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    Ok(users)
}

/// One user.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<User>, ActionError> {
    caller.may(Action::GetUser, &cloud.target_of_user(id))?;
    Ok(cloud.find::<User>(id)?.value)
}

impl Cloud {
    /// A user, for [`crate::policy`].
    pub(super) fn target_of_user(&self, id: Id) -> Target {
        Target {
            domain: self
                .store
                .get::<User>(id)
                .map(|found| found.value.meta.project.0),
            user: Some(id),
            project: None,
        }
    }
}

/// Changes a user. A password that an admin sets, and being disabled, end the user's tokens.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::AlreadyExists`] when the name is taken.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<User>, ActionError> {
    let target = cloud.target_of_user(id);
    caller.may(Action::UpdateUser, &target)?;
    let found = cloud.find::<User>(id)?;
    let immutable = changes
        .options
        .get("immutable")
        .map(|value| value.as_bool());
    check_mutable("user", id, found.value.spec.options.immutable, immutable)?;
    let mut options = found.value.spec.options.clone();
    set_options(&mut options, &changes.options)?;
    let password = match &changes.password {
        Some(Some(password)) => Some(Some(new_password(cloud, &options, password, true).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let now = cloud.now();
    cloud
        .change::<User>(id, |user| {
            let spec = &mut user.spec;
            if let Some(name) = &changes.name {
                user.meta.name.clone_from(name);
            }
            if let Some(description) = &changes.description {
                spec.description.clone_from(description);
            }
            if let Some(project) = changes.default_project {
                spec.default_project = project;
            }
            if changes.enabled == Some(false) || password.is_some() {
                spec.tokens_valid_from = Some(now);
            }
            spec.enabled = changes.enabled.unwrap_or(spec.enabled);
            match &password {
                Some(Some(password)) => remember(cloud, &mut spec.passwords, password.clone()),
                Some(None) => spec.passwords.clear(),
                None => {}
            }
            set_options(&mut spec.options, &changes.options)?;
            super::merge(&mut spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Changes one's own password, for which the old one is enough. Ends the user's tokens.
///
/// # Errors
/// [`crate::ErrorKind::Unauthenticated`] with a wrong old one, [`crate::ErrorKind::Invalid`] when the
/// rules do not allow the new one.
pub async fn change_password(
    cloud: &Cloud,
    id: Id,
    old: &str,
    new: &str,
) -> Result<(), ActionError> {
    let user = cloud.store.get::<User>(id).map(|found| found.value);
    if super::authenticate::is_locked_out(cloud, user.as_deref()) {
        return Err(super::authenticate::unauthenticated());
    }
    let is_right = cloud.check_password(user.as_deref(), old).await?;
    let user = user.ok_or_else(super::authenticate::unauthenticated)?;
    super::authenticate::note_attempt(cloud, &user, is_right).await?;
    if !is_right || !user.spec.enabled {
        return Err(super::authenticate::unauthenticated());
    }
    check_change(cloud, &user, new).await?;
    let password = new_password(cloud, &user.spec.options, new, false).await?;
    let now = cloud.now();
    cloud
        .change::<User>(id, |user| {
            remember(cloud, &mut user.spec.passwords, password.clone());
            user.spec.tokens_valid_from = Some(now);
            Ok(())
        })
        .await
        .map(drop)
}

/// Whether the rules let a user choose this password now.
async fn check_change(cloud: &Cloud, user: &User, new: &str) -> Result<(), ActionError> {
    let settings = &cloud.identity.settings;
    if user.spec.options.lock_password == Some(true) {
        return Err(invalid(
            "You cannot change your password at this time due to password policy disallowing \
             password changes. Please contact your administrator to reset your password.",
        ));
    }
    if let Some(current) = user.spec.passwords.first() {
        let until =
            current.set_at + SignedDuration::from_hours(24 * settings.password_minimum_days);
        if !current.set_by_admin && cloud.now() < until {
            return Err(invalid(format!(
                "You cannot change your password at this time due to the minimum password age. \
                 Once you change your password, it must be used for {} day(s) before it can be \
                 changed.",
                settings.password_minimum_days
            )));
        }
    }
    let unique = settings.password_unique_count;
    for before in user.spec.passwords.iter().take(unique.saturating_sub(1)) {
        if cloud.check_hash(Some(before.hash.clone()), new).await? {
            return Err(invalid(format!(
                "The new password cannot be identical to a previous password. The total number \
                 which includes the new password must be unique is {unique}."
            )));
        }
    }
    Ok(())
}

async fn new_password(
    cloud: &Cloud,
    options: &UserOptions,
    password: &str,
    set_by_admin: bool,
) -> Result<Password, ActionError> {
    let now = cloud.now();
    let days = cloud
        .identity
        .settings
        .password_expires_days
        .filter(|_| options.ignore_password_expiry != Some(true));
    Ok(Password {
        hash: cloud.hash_password(password).await?,
        set_at: now,
        expires_at: days.map(|days| now + SignedDuration::from_hours(24 * days)),
        set_by_admin,
    })
}

/// Puts a password in front of those that are remembered, and forgets what need not be.
fn remember(cloud: &Cloud, passwords: &mut Vec<Password>, password: Password) {
    passwords.insert(0, password);
    passwords.truncate(cloud.identity.settings.password_unique_count.max(1));
}

fn set_options(options: &mut UserOptions, changes: &Map<String, Value>) -> Result<(), ActionError> {
    for (name, value) in changes {
        let switch = match name.as_str() {
            "ignore_change_password_upon_first_use" => {
                &mut options.ignore_change_password_upon_first_use
            }
            "ignore_password_expiry" => &mut options.ignore_password_expiry,
            "ignore_lockout_failure_attempts" => &mut options.ignore_lockout_failure_attempts,
            "ignore_user_inactivity" => &mut options.ignore_user_inactivity,
            "lock_password" => &mut options.lock_password,
            "multi_factor_auth_enabled" => &mut options.multi_factor_auth_enabled,
            "immutable" => &mut options.immutable,
            "multi_factor_auth_rules" => {
                options.multi_factor_auth_rules = serde_json::from_value(value.clone())
                    .map_err(|_| invalid(wrong_option(name, value)))?;
                continue;
            }
            _ => {
                return Err(invalid(format!(
                    "Invalid input for field 'options': Additional properties are not allowed \
                     ('{name}' was unexpected)"
                )));
            }
        };
        *switch = match value {
            Value::Null => None,
            Value::Bool(value) => Some(*value),
            _ => return Err(invalid(wrong_option(name, value))),
        };
    }
    Ok(())
}

fn wrong_option(name: &str, value: &Value) -> String {
    format!("Invalid input for field 'options/{name}': {value} is not of the right type")
}

/// Deletes a user with everything that is theirs.
///
/// # Errors
/// As [`get`].
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteUser, &cloud.target_of_user(id))?;
    let found = cloud.find::<User>(id)?;
    check_mutable("user", id, found.value.spec.options.immutable, None)?;
    let mut transaction = cloud.store.transaction();
    for group in cloud.all::<Group>(|group| group.spec.members.contains_key(&id)) {
        let mut group = Group::clone(&group);
        group.spec.members.remove(&id);
        transaction.put(group.meta.id, group);
    }
    forget(cloud, &mut transaction, id);
    cloud.commit_durably(transaction).await
}

/// Deletes a user and what is theirs, but for their being in groups.
pub(super) fn forget(cloud: &Cloud, transaction: &mut Transaction, id: Id) {
    let owner = ProjectId(id);
    forget_grants(cloud, transaction, |actor, _| actor == Actor::User(id));
    for known in cloud.all::<ApplicationCredential>(|known| known.meta.project == owner) {
        transaction.delete::<ApplicationCredential>(known.meta.id, None);
    }
    for known in cloud.all::<AccessRule>(|known| known.meta.project == owner) {
        transaction.delete::<AccessRule>(known.meta.id, None);
    }
    for known in cloud.all::<Credential>(|known| known.spec.user == id) {
        transaction.delete::<Credential>(known.meta.id, None);
    }
    super::trust::forget(cloud, transaction, |known| {
        known.spec.trustor == id || known.spec.trustee == id
    });
    crate::quota::forget(cloud, transaction, owner);
    transaction.delete::<UserStatus>(id, None);
    transaction.delete::<User>(id, None);
}

/// The projects in which a user has a role.
///
/// # Errors
/// As [`get`].
pub fn projects(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Arc<Project>>, ActionError> {
    caller.may(Action::ListUserProjects, &cloud.target_of_user(id))?;
    if cloud.store.get::<User>(id).is_none() {
        return Err(missing::<User>(id));
    }
    Ok(cloud.projects_of(id))
}

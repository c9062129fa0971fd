//! Application credentials, and the access rules that some of them have.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::application_credential::{
    AccessRule, AccessRuleSpec, ApplicationCredential, ApplicationCredentialSpec,
};
use model::assignment::Target as Place;
use model::role::Role;
use model::{Id, Meta, ProjectId};

use super::Named;
use super::record::{invalid, not_found, refused};
use super::token::Session;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, Scope};

/// An application credential to make, of the caller in the project where they act.
#[derive(Clone, Debug)]
pub struct New {
    /// The name, unique per user.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The secret; `None` makes one.
    pub secret: Option<String>,
    /// The roles; none takes all that the caller has.
    pub roles: Vec<Named>,
    /// Until when it is valid.
    pub expires_at: Option<Timestamp>,
    /// It may make further credentials.
    pub unrestricted: bool,
    /// The requests that it allows; `None` allows all.
    pub access_rules: Option<Vec<Rule>>,
}

/// An access rule: a new one, or one that is there.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A new one, or one of the same requests.
    New(AccessRuleSpec),
    /// By identity.
    Known(Id),
}

/// Makes an application credential and answers it with its secret, which is told this once.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] for anybody but the user, and for a restricted one;
/// [`crate::ErrorKind::Invalid`] for roles that the caller does not have.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    session: &Session,
    user: Id,
    new: New,
) -> Result<(Arc<ApplicationCredential>, String), ActionError> {
    caller.may(Action::CreateApplicationCredential, &Target::user(user))?;
    check_unrestricted(session, "create_application_credential")?;
    let Scope::Project { project, .. } = caller.scope else {
        return Err(invalid(
            "Invalid application credential: it must be made in a project.",
        ));
    };
    if new.expires_at.is_some_and(|at| at <= cloud.now()) {
        return Err(invalid(
            "The 'expires_at' must not be before now. The server could not comply with the request \
             since it is either malformed or otherwise incorrect. The client is assumed to be in \
             error.",
        ));
    }
    let roles = roles(cloud, caller, project, &new.roles)?;
    let mut transaction = cloud.store.transaction();
    let mut access_rules = None;
    for rule in new.access_rules.into_iter().flatten() {
        let id = match rule {
            Rule::Known(id) => own_rule(cloud, user, id)?.meta.id,
            Rule::New(spec) => {
                let owner = ProjectId(user);
                let name = spec.name();
                match cloud.store.by_name::<AccessRule>(owner, &name) {
                    Some(found) => found.value.meta.id,
                    None => {
                        let meta = Meta::new(name, owner, cloud.now());
                        let id = meta.id;
                        transaction.insert(id, AccessRule { meta, spec });
                        id
                    }
                }
            }
        };
        access_rules.get_or_insert_with(BTreeSet::new).insert(id);
    }
    let secret = new
        .secret
        .unwrap_or_else(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 64]>()));
    let meta = Meta::new(new.name, ProjectId(user), cloud.now());
    let spec = ApplicationCredentialSpec {
        user,
        project: project.0,
        roles,
        secret_hash: super::password::hash_secret(meta.id, &secret),
        unrestricted: new.unrestricted,
        description: new.description,
        expires_at: new.expires_at,
        access_rules,
    };
    let credential = ApplicationCredential { meta, spec };
    transaction.insert(credential.meta.id, credential.clone());
    cloud.commit_durably(transaction).await?;
    Ok((Arc::new(credential), secret))
}

/// Refuses what makes a program's rights last, to a restricted application credential and to a trust,
/// which would be outlived.
fn check_unrestricted(session: &Session, action: &str) -> Result<(), ActionError> {
    if session.trust.is_some() {
        return Err(refused(
            "Cannot manage application credentials with a token issued via delegation.",
        ));
    }
    check_restricted(session, action)
}

/// Refuses what a token of a restricted application credential must not do.
pub(super) fn check_restricted(session: &Session, action: &str) -> Result<(), ActionError> {
    match &session.application_credential {
        Some(credential) if !credential.spec.unrestricted => Err(refused(format!(
            "You are not authorized to perform the requested action: identity:{action}."
        ))),
        Some(_) | None => Ok(()),
    }
}

fn roles(
    cloud: &Cloud,
    caller: &Caller,
    project: ProjectId,
    wanted: &[Named],
) -> Result<BTreeSet<Id>, ActionError> {
    let had = cloud.roles_in(caller.user, Place::Project(project.0));
    if wanted.is_empty() {
        return Ok(had);
    }
    wanted
        .iter()
        .map(|named| {
            let found = match named {
                Named::Id(id) => cloud.store.get::<Role>(*id),
                Named::Name(name) => cloud.store.by_name::<Role>(ProjectId::SYSTEM, name),
            };
            let role = found.ok_or_else(|| match named {
                Named::Id(id) => not_found("role", &id.simple()),
                Named::Name(name) => not_found("role", name),
            })?;
            let id = role.value.meta.id;
            if had.contains(&id) {
                Ok(id)
            } else {
                Err(invalid(format!(
                    "Invalid application credential: Could not find role assignment with role: {}, \
                     user or group: {}, project, domain, or system: {project}.",
                    id.simple(),
                    caller.user.simple()
                )))
            }
        })
        .collect()
}

/// The application credentials of a user, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
) -> Result<Vec<Arc<ApplicationCredential>>, ActionError> {
    caller.may(Action::ListApplicationCredentials, &Target::user(user))?;
    let mut found = cloud.all::<ApplicationCredential>(|known| known.spec.user == user);
    found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    Ok(found)
}

/// One application credential of a user.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    id: Id,
) -> Result<Arc<ApplicationCredential>, ActionError> {
    caller.may(Action::GetApplicationCredential, &Target::user(user))?;
    own(cloud, user, id)
}

fn own(cloud: &Cloud, user: Id, id: Id) -> Result<Arc<ApplicationCredential>, ActionError> {
    let found = cloud.find::<ApplicationCredential>(id)?.value;
    if found.spec.user == user {
        Ok(found)
    } else {
        Err(not_found("application credential", &id.simple()))
    }
}

/// The roles of an application credential, by name.
#[must_use]
pub fn roles_of(cloud: &Cloud, credential: &ApplicationCredential) -> Vec<Arc<Role>> {
    let roles = credential.spec.roles.iter();
    let mut found: Vec<_> = roles
        .filter_map(|id| cloud.store.get::<Role>(*id))
        .map(|found| found.value)
        .collect();
    found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    found
}

/// The access rules of an application credential; `None` where it allows everything.
#[must_use]
pub fn rules_of(cloud: &Cloud, credential: &ApplicationCredential) -> Option<Vec<Arc<AccessRule>>> {
    let rules = credential.spec.access_rules.as_ref()?;
    let found = rules
        .iter()
        .filter_map(|id| cloud.store.get::<AccessRule>(*id));
    Some(found.map(|found| found.value).collect())
}

/// Deletes an application credential; its tokens are worth nothing from then on.
///
/// # Errors
/// As [`get`], and [`crate::ErrorKind::Forbidden`] for a restricted one.
pub async fn delete(
    cloud: &Cloud,
    caller: &Caller,
    session: &Session,
    user: Id,
    id: Id,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteApplicationCredential, &Target::user(user))?;
    check_unrestricted(session, "delete_application_credential")?;
    own(cloud, user, id)?;
    cloud.unmake::<ApplicationCredential>(id).await
}

/// Whether a session's application credential, where it has access rules, allows a request: `path` is
/// what comes after the address of the service.
#[must_use]
pub fn allows(cloud: &Cloud, session: &Session, service: &str, method: &str, path: &str) -> bool {
    let rules = session
        .application_credential
        .as_ref()
        .and_then(|credential| rules_of(cloud, credential));
    rules.is_none_or(|rules| {
        rules.iter().any(|rule| {
            rule.spec.service == service
                && rule.spec.method == method
                && fits(&rule.spec.path, path)
        })
    })
}

/// Whether a path fits a pattern: `*` and `{name}` are one segment, `**` is any number of them.
fn fits(pattern: &str, path: &str) -> bool {
    fn segments(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => {
                (0..=path.len()).any(|count| segments(rest, &path[count..]))
            }
            (Some((wanted, pattern)), Some((found, path))) => {
                let is_any = *wanted == "*" || (wanted.starts_with('{') && wanted.ends_with('}'));
                (wanted == found || (is_any && !found.is_empty())) && segments(pattern, path)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    let pattern: Vec<&str> = pattern.trim_matches('/').split('/').collect();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    segments(&pattern, &path)
}

/// The access rules of a user.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list_rules(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
) -> Result<Vec<Arc<AccessRule>>, ActionError> {
    caller.may(Action::ListAccessRules, &Target::user(user))?;
    Ok(cloud.all::<AccessRule>(|rule| rule.meta.project == ProjectId(user)))
}

/// One access rule of a user.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get_rule(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    id: Id,
) -> Result<Arc<AccessRule>, ActionError> {
    caller.may(Action::GetAccessRule, &Target::user(user))?;
    own_rule(cloud, user, id)
}

fn own_rule(cloud: &Cloud, user: Id, id: Id) -> Result<Arc<AccessRule>, ActionError> {
    let found = cloud.find::<AccessRule>(id)?.value;
    if found.meta.project == ProjectId(user) {
        Ok(found)
    } else {
        Err(not_found("access rule", &id.simple()))
    }
}

/// Deletes an access rule that no credential has.
///
/// # Errors
/// As [`get_rule`], and [`crate::ErrorKind::Forbidden`] for one in use.
pub async fn delete_rule(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    id: Id,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteAccessRule, &Target::user(user))?;
    own_rule(cloud, user, id)?;
    let has = |known: &ApplicationCredential| {
        known
            .spec
            .access_rules
            .as_ref()
            .is_some_and(|rules| rules.contains(&id))
    };
    if !cloud.all::<ApplicationCredential>(has).is_empty() {
        return Err(refused(format!(
            "Access rule {} is in use by an application credential, delete that first.",
            id.simple()
        )));
    }
    cloud.unmake::<AccessRule>(id).await
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_path_fits_its_pattern_only() {
        for (pattern, path) in [
            ("/v2.1/servers", "/v2.1/servers"),
            ("/v2.1/servers/*/ips", "/v2.1/servers/7/ips"),
            ("/v2.1/servers/{server_id}", "/v2.1/servers/7"),
            ("/v2.1/**", "/v2.1/servers/7/ips"),
            ("**", "/anything/at/all"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/v2.1/servers", "/v2.1/servers/7"),
            ("/v2.1/servers/*", "/v2.1/servers"),
            ("/v2.1/servers/*", "/v2.1/servers/7/ips"),
            ("/v2.1/servers/{id}", "/v2.1/flavors/7"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }
}

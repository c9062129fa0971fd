//! Credentials: secrets kept for users.

use std::sync::Arc;

use model::credential::{Credential, CredentialSpec};
use model::project::Project;
use model::user::User;
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};

use super::ec2;
use super::record::{invalid, refused};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What is to be of a credential; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Whose it is.
    pub user: Option<Id>,
    /// The project that it is for.
    pub project: Option<Option<Id>>,
    /// What kind of secret it is.
    pub kind: Option<String>,
    /// The secret.
    pub blob: Option<String>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// Keeps a secret.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for one of kind `ec2` that has no project or is no key pair,
/// [`crate::ErrorKind::AlreadyExists`] when the key is taken.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    changes: Changes,
) -> Result<Arc<Credential>, ActionError> {
    let user = changes.user.unwrap_or(caller.user);
    caller.may(Action::CreateCredential, &Target::user(user))?;
    check_lent(caller, changes.project.flatten())?;
    let required = |field: &str| invalid(format!("'{field}' is a required property"));
    let spec = CredentialSpec {
        user,
        project: changes.project.flatten(),
        kind: changes.kind.ok_or_else(|| required("type"))?,
        blob: changes.blob.ok_or_else(|| required("blob"))?,
        delegation: caller.delegation,
        extra: changes.extra,
    };
    cloud.find::<User>(user)?;
    if let Some(project) = spec.project {
        cloud.find::<Project>(project)?;
    }
    let mut meta = Meta::new("", ProjectId(user), cloud.now());
    name(&mut meta, &spec)?;
    cloud.make(Credential { meta, spec }).await
}

/// Names the record of a credential: that of a key pair after its access key, which is one user's,
/// whoever they are.
fn name(meta: &mut Meta, spec: &CredentialSpec) -> Result<(), ActionError> {
    (meta.name, meta.project) = if spec.kind.eq_ignore_ascii_case(ec2::KIND) {
        (name_of_pair(spec)?, ProjectId::SYSTEM)
    } else {
        (meta.id.simple(), ProjectId(spec.user))
    };
    Ok(())
}

/// Refuses what acts by a delegation all secrets but those of the project that it is for.
pub(super) fn check_lent(caller: &Caller, project: Option<Id>) -> Result<(), ActionError> {
    if caller.delegation.is_none() || project == Some(caller.project().0) {
        return Ok(());
    }
    Err(refused(
        "You are not authorized to perform the requested action: credential project does not match \
         the project scope of the delegated token.",
    ))
}

/// The name of a key pair's record.
fn name_of_pair(spec: &CredentialSpec) -> Result<String, ActionError> {
    if spec.project.is_none() {
        return Err(invalid(
            "Expecting to find project_id in credential. The server could not comply with the \
             request since it is either malformed or otherwise incorrect. The client is assumed \
             to be in error.",
        ));
    }
    let pair: Value = serde_json::from_str(&spec.blob)
        .map_err(|error| invalid("Invalid blob in credential").caused_by(error))?;
    let access = pair
        .get("access")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("Invalid blob in credential"))?;
    Ok(ec2::record_name(access))
}

/// The credentials that fit and that the caller may see, the oldest first.
#[must_use]
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Credential) -> bool,
) -> Vec<Arc<Credential>> {
    let mut found = cloud.all::<Credential>(|known| {
        caller
            .may(Action::ListCredentials, &Target::user(known.spec.user))
            .is_ok()
            && check_lent(caller, known.spec.project).is_ok()
            && fits(known)
    });
    found.sort_by_key(|known| known.meta.created_at);
    found
}

fn owner(cloud: &Cloud, id: Id) -> Target {
    cloud
        .store
        .get::<Credential>(id)
        .map_or(Target::SYSTEM, |found| Target::user(found.value.spec.user))
}

/// One credential.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Credential>, ActionError> {
    caller.may(Action::GetCredential, &owner(cloud, id))?;
    let found = cloud.find::<Credential>(id)?.value;
    check_lent(caller, found.spec.project)?;
    Ok(found)
}

/// Changes a credential.
///
/// # Errors
/// As [`get`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: Changes,
) -> Result<Arc<Credential>, ActionError> {
    caller.may(Action::UpdateCredential, &owner(cloud, id))?;
    if let Some(user) = changes.user {
        caller.may(Action::UpdateCredential, &Target::user(user))?;
        cloud.find::<User>(user)?;
    }
    cloud
        .change::<Credential>(id, |known| {
            let spec = &mut known.spec;
            check_lent(caller, spec.project)?;
            check_lent(caller, changes.project.unwrap_or(spec.project))?;
            spec.user = changes.user.unwrap_or(spec.user);
            spec.project = changes.project.unwrap_or(spec.project);
            if let Some(kind) = &changes.kind {
                spec.kind.clone_from(kind);
            }
            if let Some(blob) = &changes.blob {
                spec.blob.clone_from(blob);
            }
            super::merge(&mut spec.extra, &changes.extra);
            name(&mut known.meta, spec)
        })
        .await
}

/// Forgets a credential.
///
/// # Errors
/// As [`get`].
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteCredential, &owner(cloud, id))?;
    check_lent(caller, cloud.find::<Credential>(id)?.value.spec.project)?;
    cloud.unmake::<Credential>(id).await
}

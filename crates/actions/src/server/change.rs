//! Changes what is said of servers, locks them, and removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::Id;
use model::instance::Instance;
use model::server::{Lock, Server, Standing};
use store::CommitError;

use super::create::check_metadata;
use super::task::{change_record, check_lock, note, note_done};
use super::{View, adopted, get, missing, snapshot};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, durable, instance};

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a server")]
pub struct ServerChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub hostname: Option<String>,
    pub auto_disk: Option<bool>,
    pub access_ipv4: Option<Option<IpAddr>>,
    pub access_ipv6: Option<Option<IpAddr>>,
}

/// Changes what is said of a server.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: ServerChange,
) -> Result<View, ActionError> {
    changed(cloud, caller, id, Action::UpdateInstance, |server| {
        let ServerChange {
            name,
            description,
            hostname,
            auto_disk,
            access_ipv4,
            access_ipv6,
        } = change.clone();
        let spec = &mut server.spec;
        if let Some(name) = name {
            server.meta.name = name;
        }
        if let Some(description) = description {
            spec.description = description;
        }
        if let Some(hostname) = hostname {
            spec.hostname = hostname;
        }
        spec.auto_disk = auto_disk.unwrap_or(spec.auto_disk);
        spec.access.ipv4 = access_ipv4.unwrap_or(spec.access.ipv4);
        spec.access.ipv6 = access_ipv6.unwrap_or(spec.access.ipv6);
        Ok(())
    })
    .await
}

/// Changes a server's metadata; `change` says how.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] where it is locked,
/// [`crate::ErrorKind::Invalid`] for metadata that cannot be, and what `change` says.
pub async fn set_metadata(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut BTreeMap<String, String>) -> Result<(), ActionError>,
) -> Result<BTreeMap<String, String>, ActionError> {
    check_lock(caller, &get(cloud, caller, id)?.server)?;
    let view = changed(cloud, caller, id, Action::SetServerMetadata, |server| {
        change(&mut server.spec.metadata)?;
        check_metadata(cloud, server.meta.project, &server.spec.metadata)
    })
    .await?;
    Ok(view.server.spec.metadata.clone())
}

/// Changes a server's tags; `change` says how.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what `change` says.
pub async fn set_tags(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut BTreeSet<String>) -> Result<(), ActionError>,
) -> Result<BTreeSet<String>, ActionError> {
    let view = changed(cloud, caller, id, Action::SetServerTags, |server| {
        change(&mut server.spec.tags)
    })
    .await?;
    Ok(view.server.spec.tags.clone())
}

/// Locks a server: nobody but an admin changes it until it is unlocked.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub async fn lock(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    reason: Option<String>,
) -> Result<(), ActionError> {
    let locking = |server: &mut Server| {
        // An owner's lock does not replace an admin's.
        let is_admins = server.spec.lock.as_ref().is_some_and(|lock| lock.by_admin);
        let by_admin = is_admins || caller.project() != server.meta.project;
        server.spec.lock = Some(Lock {
            by_admin,
            reason: reason.clone(),
        });
        note_done(server, caller, "lock", cloud.now());
        Ok(())
    };
    changed(cloud, caller, id, Action::LockServer, locking)
        .await
        .map(drop)
}

/// Unlocks a server.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`] where an admin locked it.
pub async fn unlock(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let view = get(cloud, caller, id)?;
    let by_admin = view
        .server
        .spec
        .lock
        .as_ref()
        .is_some_and(|lock| lock.by_admin);
    let action = if by_admin {
        Action::UnlockServerOfAdmin
    } else {
        Action::UnlockServer
    };
    changed(cloud, caller, id, action, |server| {
        server.spec.lock = None;
        note_done(server, caller, "unlock", cloud.now());
        Ok(())
    })
    .await
    .map(drop)
}

/// Says that a server is broken, or is not, whatever was thought of it; what was being done to it
/// counts no more.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub async fn reset(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    is_broken: bool,
) -> Result<(), ActionError> {
    changed(cloud, caller, id, Action::ResetServer, |server| {
        server.standing = if is_broken {
            Standing::Broken
        } else {
            Standing::Made
        };
        server.task = None;
        note_done(server, caller, "resetState", cloud.now());
        Ok(())
    })
    .await
    .map(drop)
}

async fn changed(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    action: Action,
    change: impl Fn(&mut Server) -> Result<(), ActionError>,
) -> Result<View, ActionError> {
    let view = get(cloud, caller, id)?;
    caller.may(action, &Target::project(view.server.meta.project))?;
    let now = cloud.now();
    let (server, ticket) = change_record(cloud, id, |server| {
        change(server)?;
        server.meta.updated_at = Some(now);
        Ok(())
    })
    .await?;
    durable(ticket).await?;
    Ok(View {
        server: Arc::new(server),
        instance: instance::find(cloud, id),
    })
}

/// Has a server removed, with what was made for it: answers once that is written down.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] where it is locked.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let view = get(cloud, caller, id)?;
    caller.may(
        Action::DeleteInstance,
        &Target::project(view.server.meta.project),
    )?;
    check_lock(caller, &view.server)?;
    let now = cloud.now();
    loop {
        let mut transaction = cloud.store.transaction();
        let server = cloud.store.get::<Server>(id);
        let instance = cloud.store.get::<Instance>(id);
        match (&server, &instance) {
            (None, None) => return Err(missing(id)),
            (Some(found), _) => {
                let mut marked = Server::clone(&found.value);
                if marked.meta.deleted_at.is_none() {
                    note(&mut marked, caller, "delete", now);
                }
                marked.meta.deleted_at.get_or_insert(now);
                marked.meta.updated_at = Some(now);
                transaction.update(id, found.revision, marked);
            }
            (None, Some(found)) => {
                let mut marked = adopted(&found.value);
                marked.meta.deleted_at.get_or_insert(now);
                transaction.insert(id, marked);
            }
        }
        if let Some(found) = &instance {
            let mut marked = Instance::clone(&found.value);
            marked.meta.deleted_at.get_or_insert(now);
            transaction.update(id, found.revision, marked);
        }
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                snapshot::forget(cloud, &view.server).await;
                return durable(committed.durable).await;
            }
            Err(
                CommitError::Conflict { .. }
                | CommitError::NotFound { .. }
                | CommitError::Exists { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

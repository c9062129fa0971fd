//! Volumes: what there is of them, and who uses them.
//!
//! By name here, as engines know them; by identity, with a size and a life of their own, in
//! [`sized`]. Both are the same records.

mod claim;
pub mod sized;
mod upload;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::container::MountSource;
use model::event::Action;
use model::volume::{Volume, VolumeSpec, VolumeStatus};
use model::{Id, Meta, ProjectId};

pub use claim::{
    NewClaim, begin_detaching, claim, claims, complete_claim, drop_claim, find_use,
    force_drop_claims, mark_attached, reserve, roll_detaching, unreserve, update_claim,
};
pub use upload::{recover, upload};
pub(crate) use view::not_found;
pub use view::{Use, View, list_all, show};

use crate::observer::volume_event;
use crate::policy::{self, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, instance, is_visible, isolation};

/// How long a node may take to remove a volume's files.
pub(crate) const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(300);
/// Most bytes of a volume's name, which is the name of a directory on the node.
const LONGEST_NAME: usize = 255;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// Its name; `None` takes a random one.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// As [`VolumeSpec::options`].
    pub options: BTreeMap<String, String>,
}

/// Makes a volume, or answers the one of that name where it is made alike. Waits until its node
/// has made it.
///
/// # Errors
/// [`ErrorKind::Conflict`] when one of that name has other options, [`ErrorKind::Forbidden`] for
/// a tenant's options, which name what is the node's, and what the node says; nothing
/// is kept then.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewVolume,
) -> Result<Arc<Volume>, ActionError> {
    caller.may(
        policy::Action::CreateVolume,
        &Target::project(caller.project()),
    )?;
    if isolation::is_tenant(caller.project()) && !new.options.is_empty() {
        return Err(isolation::refused("options"));
    }
    let anonymous = new.name.is_none();
    let name = new
        .name
        .unwrap_or_else(|| format!("{}{}", Id::random().simple(), Id::random().simple()));
    check_name(&name)?;
    if let Ok(known) = get(cloud, caller, &name) {
        return alike(known, &new.options);
    }
    let mut meta = Meta::new(name.clone(), caller.project(), cloud.now());
    meta.labels = new.labels;
    meta.finalizers.push(model::meta::NODE_FINALIZER.to_owned());
    let spec = VolumeSpec {
        anonymous,
        options: new.options.clone(),
        ..VolumeSpec::default()
    };
    let volume = Volume { meta, spec };
    let id = volume.meta.id;
    let waiter = cloud.observer.waiter(id);
    let mut transaction = cloud.store.transaction();
    transaction.insert(id, volume.clone());
    let committed = match cloud.commit(transaction).await {
        Ok(committed) => committed,
        // Somebody else made it meanwhile.
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            return alike(get(cloud, caller, &name)?, &new.options);
        }
        Err(error) => return Err(error),
    };
    let made = waiter.until(|| {
        let status = cloud.store.get::<VolumeStatus>(id)?;
        Some(status.value.error.clone().map_or(Ok(()), Err))
    });
    let (made, flushed) = tokio::join!(
        instance::within(NODE_ANSWERS_WITHIN, made),
        durable(committed.durable)
    );
    if let Err(error) = made.and_then(|made| made.map_err(ActionError::from)) {
        delete(cloud, id).await?;
        return Err(error);
    }
    flushed?;
    cloud.observer.tell(volume_event(&volume, Action::Created));
    Ok(Arc::new(volume))
}

/// Refuses a name that no directory can have.
pub(crate) fn check_name(name: &str) -> Result<(), ActionError> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(ActionError::new(
        ErrorKind::Invalid,
        format!("create {name}: volume name is too long, at most {LONGEST_NAME} bytes are allowed"),
    ))
}

fn alike(
    known: Arc<Volume>,
    options: &BTreeMap<String, String>,
) -> Result<Arc<Volume>, ActionError> {
    if options.is_empty() || known.spec.options == *options {
        return Ok(known);
    }
    let name = &known.meta.name;
    Err(ActionError::new(
        ErrorKind::Conflict,
        format!(
            "a volume named {name} exists with other options; remove it or choose another name"
        ),
    ))
}

/// The volumes of the caller's project, by name.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Volume>> {
    let mut volumes: Vec<_> = cloud
        .store
        .list::<Volume>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|volume| {
            let owner = volume.meta.project;
            is_visible(caller, owner)
                && caller.reads(policy::Action::ListVolumes, owner)
                && volume.meta.deleted_at.is_none()
        })
        .collect();
    volumes.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    volumes
}

/// The volume of this name.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, name: &str) -> Result<Arc<Volume>, ActionError> {
    let project = caller.project();
    cloud
        .store
        .by_name::<Volume>(project, name)
        .filter(|_| caller.reads(policy::Action::GetVolume, project))
        .map(|found| found.value)
        .ok_or_else(|| missing(name))
}

/// Where a volume's files are on the node.
///
/// # Errors
/// [`ErrorKind::NotFound`], and what the node says.
pub async fn path(cloud: &Cloud, caller: &Caller, name: &str) -> Result<PathBuf, ActionError> {
    let volume = get(cloud, caller, name)?;
    Ok(cloud.nodes.volume_path(&volume).await?)
}

/// Bytes of the files in a volume.
///
/// # Errors
/// [`ErrorKind::NotFound`], and what the node says.
pub async fn size_bytes(cloud: &Cloud, caller: &Caller, name: &str) -> Result<u64, ActionError> {
    let volume = get(cloud, caller, name)?;
    Ok(cloud.nodes.volume_size(&volume).await?)
}

/// The instances that mount a volume, running or not.
#[must_use]
pub fn users(cloud: &Cloud, caller: &Caller, name: &str) -> Vec<instance::View> {
    if !caller.reads(policy::Action::GetVolume, caller.project()) {
        return Vec::new();
    }
    mounted_by(cloud, caller.project(), name)
}

fn mounted_by(cloud: &Cloud, project: ProjectId, name: &str) -> Vec<instance::View> {
    let mut views = instance::owned_by(cloud, |owner| owner == project);
    views.retain(|view| {
        let mounts = view
            .instance
            .spec
            .containers
            .iter()
            .flat_map(|container| &container.mounts);
        mounts.into_iter().any(
            |mount| matches!(&mount.source, MountSource::Volume { name: used, .. } if used == name),
        )
    });
    views
}

/// Removes a volume with its files.
///
/// # Errors
/// [`ErrorKind::Conflict`] when an instance mounts it; with `force`, a missing one is no error.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    force: bool,
) -> Result<(), ActionError> {
    let project = caller.project();
    caller.may(policy::Action::DeleteVolume, &Target::project(project))?;
    match cloud.store.by_name::<Volume>(project, name) {
        Some(found) if found.value.spec.size_gib.is_some() => {
            let id = found.value.meta.id;
            let waiter = cloud.observer.waiter(id);
            sized::remove(cloud, caller, id, false).await?;
            let gone = waiter.until(|| cloud.store.get::<Volume>(id).is_none().then_some(()));
            instance::within(NODE_ANSWERS_WITHIN, gone).await
        }
        Some(found) => remove_unused(cloud, &found.value).await,
        None if force => Ok(()),
        None => Err(missing(name)),
    }
}

/// Removes a volume that no instance mounts.
pub(crate) async fn remove_unused(cloud: &Cloud, volume: &Volume) -> Result<(), ActionError> {
    let name = &volume.meta.name;
    let users: Vec<String> = mounted_by(cloud, volume.meta.project, name)
        .iter()
        .map(|view| view.instance.meta.id.simple())
        .collect();
    if !users.is_empty() {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!("remove {name}: volume is in use - [{}]", users.join(", ")),
        ));
    }
    delete(cloud, volume.meta.id).await
}

fn missing(name: &str) -> ActionError {
    ActionError::new(ErrorKind::NotFound, format!("get {name}: no such volume"))
}

/// Has a volume removed by its node, and waits until it is gone; a missing one is no error.
async fn delete(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    let waiter = cloud.observer.waiter(id);
    let Some(found) = cloud.store.get::<Volume>(id) else {
        return Ok(());
    };
    let mut marked = Volume::clone(&found.value);
    marked.meta.deleted_at.get_or_insert(cloud.now());
    let mut transaction = cloud.store.transaction();
    transaction.update(id, found.revision, marked);
    let committed = cloud.commit(transaction).await?;
    let gone = waiter.until(|| cloud.store.get::<Volume>(id).is_none().then_some(()));
    let (gone, flushed) = tokio::join!(
        instance::within(NODE_ANSWERS_WITHIN, gone),
        durable(committed.durable)
    );
    gone.and(flushed)
}

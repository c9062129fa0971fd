//! Volumes of instances: attached and detached while they run, or before they start.
//!
//! The mount is written into the instance's spec, so that it is there again after every start; a
//! running one has it mounted at once by its node. A volume that is not shared has one user: the
//! record of the volume is written in the same transaction, so that of two at once one is refused.

use std::sync::Arc;

use model::container::{Mount, MountSource};
use model::instance::{AttachedVolume, Instance, Phase};
use model::meta::VOLUMES_FINALIZER;
use model::volume::{Volume, VolumePhase};
use model::{Id, Meta};
use store::Transaction;

use crate::instance::{self, newest, within};
use crate::policy::{self, Target};
use crate::volume::sized::{conflict, invalid};
use crate::volume::{self, NODE_ANSWERS_WITHIN};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen};

/// The device of the root file system.
pub const ROOT_DEVICE: &str = "/dev/vda";
/// Where volumes are mounted whose device is none of the container's paths.
const MOUNTED_BELOW: &str = "/mnt";

/// What to attach, and where.
#[derive(Clone, Debug)]
pub struct NewAttachment {
    /// The volume.
    pub volume: Id,
    /// A device, `/dev/vdb`, which is mounted at `/mnt/vdb`; or a path of the container outside of
    /// `/dev`, which is the mount point. `None` takes the next free device.
    pub device: Option<String>,
    /// A word for programs inside.
    pub tag: Option<String>,
    /// The volume goes when the instance does.
    pub delete_with_instance: bool,
    /// It is the instance's root file system, as the device [`ROOT_DEVICE`] unless another is named.
    /// Only for one that has no image, before its first start.
    pub root: bool,
}

/// A volume of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// What is known of it.
    pub known: AttachedVolume,
    /// The instance.
    pub instance: Id,
    /// It may not be written.
    pub read_only: bool,
}

/// Attaches a volume to an instance; a running one has it mounted when this answers.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] for a volume that is not available and a device
/// that is taken, and what the node says; nothing is kept then.
pub async fn attach(
    cloud: &Cloud,
    caller: &Caller,
    instance: Id,
    new: NewAttachment,
) -> Result<Attachment, ActionError> {
    let before = view(cloud, caller, instance)?;
    let project = Target::project(before.instance.meta.project);
    caller.may(policy::Action::AttachServerVolume, &project)?;
    let waiter = cloud.observer.waiter(instance);
    let made = commit(cloud, caller, instance, new.volume, |view, instance, _| {
        let phase = view.phase();
        let is_free = phase == VolumePhase::Available
            || phase == VolumePhase::InUse && view.volume.spec.shared;
        let is_here = mounts(instance).any(|mount| is_of(mount, &view.volume));
        if is_here || !is_free {
            return Err(invalid(format!(
                "Invalid volume: volume '{}' status must be 'available'. Currently in '{}'",
                new.volume,
                phase.words()
            )));
        }
        if view.volume.meta.project != instance.meta.project {
            return Err(volume::not_found(new.volume));
        }
        insert(cloud, instance, &view.volume, &new)
    })
    .await?;
    let generation = made.known.attached_by;
    if let Err(error) = settled(cloud, instance, generation, &waiter).await {
        // What the node refused is not kept, so that the next start does not fail for it.
        commit(cloud, caller, instance, new.volume, |view, instance, _| {
            take(instance, &view.volume);
            let all = &mut instance.spec.attached_volumes;
            all.retain(|known| known.id != made.known.id);
            Ok(())
        })
        .await?;
        return Err(error);
    }
    Ok(made)
}

/// Detaches a volume from an instance; a running one has it unmounted, with everything written, when
/// this answers.
///
/// # Errors
/// [`ErrorKind::NotFound`], and [`ErrorKind::Conflict`] while a program inside uses it: it stays
/// attached then.
pub async fn detach(
    cloud: &Cloud,
    caller: &Caller,
    instance: Id,
    volume: Id,
) -> Result<(), ActionError> {
    let before = view(cloud, caller, instance)?;
    let project = Target::project(before.instance.meta.project);
    caller.may(policy::Action::DetachServerVolume, &project)?;
    let waiter = cloud.observer.waiter(instance);
    let (mount, generation) = commit(cloud, caller, instance, volume, |view, instance, _| {
        let generation = instance.meta.generation;
        let mount = take(instance, &view.volume).ok_or_else(|| not_attached(volume))?;
        if mount.is_root() {
            return Err(ActionError::new(
                ErrorKind::Forbidden,
                "Cannot detach a root device volume",
            ));
        }
        for known in &mut instance.spec.attached_volumes {
            if known.target == mount.target {
                known.detached_by = Some(generation);
            }
        }
        Ok((mount, generation))
    })
    .await?;
    let settled = settled(cloud, instance, generation, &waiter).await;
    commit(cloud, caller, instance, volume, |_, instance, _| {
        let all = &mut instance.spec.attached_volumes;
        if settled.is_ok() {
            all.retain(|known| known.target != mount.target);
            return Ok(());
        }
        for known in all {
            known.detached_by = known.detached_by.filter(|_| known.target != mount.target);
        }
        if let Some(container) = instance.spec.containers.first_mut() {
            container.mounts.push(mount.clone());
        }
        Ok(())
    })
    .await?;
    settled
}

/// The volumes of an instance.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn list(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Attachment>, ActionError> {
    let view = view(cloud, caller, id)?;
    let instance = &view.instance;
    let project = Target::project(instance.meta.project);
    caller.may(policy::Action::ListServerVolumes, &project)?;
    Ok(of(cloud, instance))
}

/// The volumes of an instance that the caller sees.
#[must_use]
pub fn of(cloud: &Cloud, instance: &Instance) -> Vec<Attachment> {
    let attachments = mounts(instance).filter_map(|mount| {
        let MountSource::Volume { name, .. } = &mount.source else {
            return None;
        };
        let known = &instance.spec.attached_volumes;
        let known = known.iter().find(|known| known.target == mount.target);
        let known = match known {
            Some(known) => known.clone(),
            None => {
                let project = instance.meta.project;
                let volume = cloud.store.by_name::<Volume>(project, name)?.value.meta.id;
                AttachedVolume {
                    id: volume,
                    volume,
                    device: mount.target.clone(),
                    target: mount.target.clone(),
                    attached_at: instance.meta.created_at,
                    attached_by: 0,
                    delete_with_instance: false,
                    tag: None,
                    detached_by: None,
                }
            }
        };
        Some(Attachment {
            known,
            instance: instance.meta.id,
            read_only: mount.read_only,
        })
    });
    attachments.collect()
}

/// Says whether a volume goes when the instance does.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    instance: Id,
    volume: Id,
    delete_with_instance: bool,
) -> Result<(), ActionError> {
    let before = view(cloud, caller, instance)?;
    let project = Target::project(before.instance.meta.project);
    caller.may(policy::Action::AttachServerVolume, &project)?;
    commit(cloud, caller, instance, volume, |_, instance, _| {
        let all = &mut instance.spec.attached_volumes;
        let known = all.iter_mut().find(|known| known.volume == volume);
        let known = known.ok_or_else(|| not_attached(volume))?;
        known.delete_with_instance = delete_with_instance;
        if delete_with_instance {
            await_volumes(&mut instance.meta);
        }
        Ok(())
    })
    .await
}

fn view(cloud: &Cloud, caller: &Caller, id: Id) -> Result<instance::View, ActionError> {
    instance::find(cloud, id)
        .filter(|view| is_seen(caller, view.instance.meta.project))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("Instance {id} could not be found."),
            )
        })
}

fn not_attached(volume: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("volume_id not found: {volume}"),
    )
}

fn mounts(instance: &Instance) -> impl Iterator<Item = &Mount> {
    let containers = instance.spec.containers.iter();
    containers.flat_map(|container| &container.mounts)
}

fn is_of(mount: &Mount, volume: &Volume) -> bool {
    matches!(&mount.source, MountSource::Volume { name, .. } if *name == volume.meta.name)
}

/// Takes the mount of a volume out of an instance's spec.
fn take(instance: &mut Instance, volume: &Volume) -> Option<Mount> {
    let container = instance.spec.containers.first_mut()?;
    let at = container
        .mounts
        .iter()
        .position(|mount| is_of(mount, volume))?;
    Some(container.mounts.remove(at))
}

/// Puts the mount of a volume into an instance's spec.
fn insert(
    cloud: &Cloud,
    instance: &mut Instance,
    volume: &Volume,
    new: &NewAttachment,
) -> Result<Attachment, ActionError> {
    let generation = instance.meta.generation;
    let spec = &mut instance.spec;
    // What was left by a detachment that nobody saw the end of.
    spec.attached_volumes
        .retain(|known| known.detached_by.is_none());
    let device = match &new.device {
        Some(device) if !device.is_empty() => device.clone(),
        _ if new.root => ROOT_DEVICE.to_owned(),
        _ => free_device(&spec.attached_volumes)?,
    };
    let target = match new.root {
        true => Mount::ROOT.to_owned(),
        false => target_of(&device)?,
    };
    let Some(container) = spec.containers.first_mut() else {
        return Err(invalid("the instance has no container"));
    };
    if container.mounts.iter().any(|mount| mount.target == target)
        || spec
            .attached_volumes
            .iter()
            .any(|known| known.device == device)
    {
        return Err(invalid(format!(
            "The supplied device path ({device}) is in use."
        )));
    }
    container.mounts.push(Mount {
        target: target.clone(),
        source: MountSource::Volume {
            name: volume.meta.name.clone(),
            anonymous: false,
            no_copy: true,
            subpath: String::new(),
        },
        read_only: volume.spec.read_only.unwrap_or(false),
    });
    let known = AttachedVolume {
        id: Id::random(),
        volume: volume.meta.id,
        device,
        target,
        attached_at: cloud.now(),
        attached_by: generation,
        delete_with_instance: new.delete_with_instance,
        tag: new.tag.clone(),
        detached_by: None,
    };
    spec.attached_volumes.push(known.clone());
    if new.delete_with_instance {
        await_volumes(&mut instance.meta);
    }
    Ok(Attachment {
        known,
        instance: instance.meta.id,
        read_only: volume.spec.read_only.unwrap_or(false),
    })
}

/// Has the garbage controller look at an instance's volumes before its record goes.
fn await_volumes(meta: &mut Meta) {
    if !meta.finalizers.iter().any(|has| has == VOLUMES_FINALIZER) {
        meta.finalizers.push(VOLUMES_FINALIZER.to_owned());
    }
}

/// The first device after the root's that no volume has.
fn free_device(taken: &[AttachedVolume]) -> Result<String, ActionError> {
    ('b'..='z')
        .map(|letter| format!("/dev/vd{letter}"))
        .find(|device| !taken.iter().any(|known| known.device == *device))
        .ok_or_else(|| invalid("The instance has no free device left for a volume."))
}

/// Where a volume with this device is mounted.
fn target_of(device: &str) -> Result<String, ActionError> {
    let refused = || {
        invalid(format!(
            "The supplied device path ({device}) is invalid: it must be a device, as /dev/vdb, or an absolute path to mount at."
        ))
    };
    let path = std::path::Path::new(device);
    let is_plain = path
        .components()
        .all(|part| !matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || !is_plain || path.parent().is_none() {
        return Err(refused());
    }
    match path.strip_prefix("/dev") {
        Ok(name) if name.components().count() == 1 => {
            Ok(format!("{MOUNTED_BELOW}/{}", name.display()))
        }
        Ok(_) => Err(refused()),
        Err(_) => Ok(device.trim_end_matches('/').to_owned()),
    }
}

/// Changes an instance together with a volume, again where somebody else changed either meanwhile.
async fn commit<T>(
    cloud: &Cloud,
    caller: &Caller,
    instance: Id,
    volume: Id,
    change: impl Fn(&volume::View, &mut Instance, &mut Transaction) -> Result<T, ActionError>,
) -> Result<T, ActionError> {
    loop {
        // Before what is decided by it is looked at.
        let (of, to) = (
            cloud.store.get::<Volume>(volume),
            cloud.store.get::<Instance>(instance),
        );
        let of = of.ok_or_else(|| volume::not_found(volume))?;
        let to = to.ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("Instance {instance} could not be found."),
            )
        })?;
        let seen = volume::show(cloud, caller, volume)?;
        let mut after = Instance::clone(&to.value);
        if after.meta.deleted_at.is_some() {
            return Err(conflict(format!(
                "Cannot change the volumes of instance {instance} while it is being deleted"
            )));
        }
        after.meta.generation += 1;
        let mut transaction = cloud.store.transaction();
        let answer = change(&seen, &mut after, &mut transaction)?;
        let mut touched = Volume::clone(&of.value);
        touched.meta.updated_at = Some(cloud.now());
        transaction
            .update(volume, of.revision, touched)
            .update(instance, to.revision, after);
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(answer);
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until an instance that runs is what its spec of this generation says.
async fn settled(
    cloud: &Cloud,
    id: Id,
    generation: u64,
    waiter: &Arc<crate::observer::Waiter>,
) -> Result<(), ActionError> {
    let done = waiter.until(|| {
        let status = newest(cloud, id, waiter.last())?;
        let is_up = matches!(status.phase, Phase::Running | Phase::Paused);
        if !is_up {
            return Some(Ok(()));
        }
        let failure = status.error.clone();
        (status.generation >= generation)
            .then(|| failure.map_or(Ok(()), |failure| Err(failure.into())))
    });
    within(NODE_ANSWERS_WITHIN, done)
        .await
        .and_then(|answer| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_mounted_below_mnt_and_a_path_at_itself() {
        assert_eq!(target_of("/dev/vdb").unwrap(), "/mnt/vdb");
        assert_eq!(target_of("/srv/data/").unwrap(), "/srv/data");
        for wrong in ["", "vdb", "/", "/dev", "/dev/a/b", "/srv/../etc"] {
            assert!(target_of(wrong).is_err(), "{wrong}");
        }
    }
}

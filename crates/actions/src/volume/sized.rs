//! Volumes with a size: made, changed, extended and removed by identity, as a service of its own does.
//!
//! Making, extending and removing answer at once; what becomes of it is seen in [`super::View`].
//! Whoever attaches one is [`crate::volume_attachment`]'s business, and claims are in
//! [`super::claim`].

use std::collections::{BTreeMap, BTreeSet};

use model::event::Action;
use model::image::Defaults;
use model::meta::NODE_FINALIZER;
use model::quota::Resource;
use model::snapshot::SnapshotPhase;
use model::volume::{Volume, VolumePhase, VolumeSource, VolumeSpec, VolumeStatus};
use model::{Id, Meta, ProjectId};
use store::Transaction;

use super::View;
use crate::observer::volume_event;
use crate::policy::{self, Target};
use crate::quota::{self, Unmade};
use crate::{
    ActionError, Caller, Cloud, ErrorKind, durable, registered_image, snapshot, volume_type,
};

/// The largest size, in GiB: what ext4 can be with blocks of 4 KiB and 32 bits to count them.
const MOST_GIB: u32 = 16 << 10;
/// Phases in which a volume may be removed, as Cinder has them.
const REMOVABLE: [VolumePhase; 3] = [
    VolumePhase::Available,
    VolumePhase::Error,
    VolumePhase::ErrorExtending,
];

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct NewSized {
    /// Its identity, where that was promised before it is made.
    pub id: Option<Id>,
    /// What its user calls it; need not be unique.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// Size in GiB; `None` is that of the source.
    pub size_gib: Option<u32>,
    /// What it holds at first.
    pub source: Option<NewSource>,
    /// A type, by identity or name; `None` is the default one, or the source's.
    pub volume_type: Option<String>,
    /// Words of its user's.
    pub metadata: BTreeMap<String, String>,
    /// Several instances may use it at once.
    pub shared: bool,
}

/// What a volume is to hold at first.
#[derive(Clone, Debug)]
pub enum NewSource {
    /// The root file system of an image, by its identity in its own service.
    Image(Id),
    /// A snapshot.
    Snapshot(Id),
    /// Another volume.
    Volume(Id),
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a volume")]
pub struct VolumeChange {
    pub title: Option<String>,
    pub description: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub image_metadata: Option<BTreeMap<String, String>>,
    pub bootable: Option<bool>,
    pub read_only: Option<bool>,
    pub volume_type: Option<Id>,
}

/// What the source of a new volume brings along.
struct Origin {
    source: Option<VolumeSource>,
    least_gib: u32,
    what: &'static str,
    volume_type: Option<Id>,
    image_metadata: BTreeMap<String, String>,
    defaults: Defaults,
    bootable: bool,
}

/// Makes a volume.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a size that cannot be, a source that is not ready, and a type that is
/// not the project's; [`ErrorKind::NotFound`] without the source; [`ErrorKind::QuotaExceeded`].
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewSized) -> Result<View, ActionError> {
    let project = caller.project();
    caller.may(policy::Action::CreateVolume, &Target::project(project))?;
    let origin = origin(cloud, caller, new.source)?;
    let size_gib = match new.size_gib {
        None if origin.least_gib > 0 && origin.source.is_some() => origin.least_gib,
        None => return Err(invalid("Volume size must be given")),
        Some(size) if !(1..=MOST_GIB).contains(&size) => {
            return Err(invalid(format!(
                "Volume size '{size}' must be an integer and greater than 0, and at most {MOST_GIB}"
            )));
        }
        Some(size) if size < origin.least_gib => {
            let (least, what) = (origin.least_gib, origin.what);
            return Err(invalid(format!(
                "Volume size '{size}'GB cannot be smaller than the {what} size {least}GB. They must be >= original {what} size."
            )));
        }
        Some(size) => size,
    };
    let volume_type = match &new.volume_type {
        Some(wanted) => volume_type::find(cloud, caller, wanted)?.meta.id,
        None => origin
            .volume_type
            .unwrap_or(model::volume_type::VolumeType::DEFAULT),
    };
    let mut meta = Meta::new("", project, cloud.now());
    meta.id = new.id.unwrap_or(meta.id);
    meta.finalizers.push(NODE_FINALIZER.to_owned());
    meta.name = free_name(cloud, project, &new.title, meta.id);
    let mut volume = Volume {
        meta,
        spec: VolumeSpec {
            size_gib: Some(size_gib),
            source: origin.source,
            title: new.title,
            description: new.description,
            volume_type: Some(volume_type),
            user: Some(caller.user),
            metadata: new.metadata,
            image_metadata: origin.image_metadata,
            defaults: origin.defaults,
            bootable: origin.bootable,
            shared: new.shared,
            ..VolumeSpec::default()
        },
    };
    let id = volume.meta.id;
    let size = u64::from(size_gib);
    let wanted = [
        (Resource::PerVolumeGib, size),
        (Resource::VolumeGib, size),
        (Resource::Volumes, 1),
    ];
    let committed = loop {
        let made = quota::commit(cloud, project, &wanted, |transaction| {
            transaction.insert(id, volume.clone());
        });
        match made.await {
            Ok(committed) => break committed,
            // Somebody took the name meanwhile.
            Err(Unmade::Refused(store::CommitError::NameTaken { .. })) => {
                volume.meta.name = own_name(id);
            }
            Err(unmade) => return Err(unmade.into()),
        }
    };
    durable(committed.durable).await?;
    cloud.observer.tell(volume_event(&volume, Action::Created));
    super::show(cloud, caller, id)
}

fn origin(
    cloud: &Cloud,
    caller: &Caller,
    source: Option<NewSource>,
) -> Result<Origin, ActionError> {
    let nothing = Origin {
        source: None,
        least_gib: 0,
        what: "",
        volume_type: None,
        image_metadata: BTreeMap::new(),
        defaults: Defaults::default(),
        bootable: false,
    };
    Ok(match source {
        None => nothing,
        Some(NewSource::Image(image)) => {
            let found = registered_image::runnable(cloud, caller, image)?;
            // Its root file system has to fit.
            let known = cloud.images.get(&found.content);
            let used = known
                .as_ref()
                .map_or(found.size_bytes, |image| image.size_bytes);
            let needed = u32::try_from(used.div_ceil(1 << 30)).unwrap_or(u32::MAX);
            let mut image_metadata = found.properties;
            image_metadata.insert("image_id".to_owned(), image.to_string());
            image_metadata.insert("image_name".to_owned(), found.name.unwrap_or_default());
            Origin {
                source: Some(VolumeSource::Image {
                    image,
                    content: found.content,
                }),
                least_gib: found.min_disk_gib.max(needed),
                what: "image",
                image_metadata,
                defaults: Defaults {
                    // What is at these paths is in the volume, too.
                    volumes: BTreeSet::new(),
                    ..known.map_or_else(|_| Defaults::default(), |image| image.defaults.clone())
                },
                bootable: true,
                ..nothing
            }
        }
        Some(NewSource::Snapshot(id)) => {
            let view = snapshot::get(cloud, caller, id)?;
            if view.phase() != SnapshotPhase::Available {
                return Err(invalid(format!(
                    "Invalid snapshot: Originating snapshot status must be one of 'available' values, not {id}'s"
                )));
            }
            let of = cloud.store.get::<Volume>(view.snapshot.spec.volume);
            let of = of.map(|found| found.value.spec.clone()).unwrap_or_default();
            Origin {
                source: Some(VolumeSource::Snapshot(id)),
                least_gib: view.snapshot.spec.size_gib,
                what: "snapshot",
                volume_type: of.volume_type,
                image_metadata: of.image_metadata,
                defaults: of.defaults,
                bootable: of.bootable,
            }
        }
        Some(NewSource::Volume(id)) => {
            let view = super::show(cloud, caller, id)?;
            let Some(size_gib) = view.volume.spec.size_gib else {
                return Err(invalid(format!(
                    "Volume {id} is a directory without a size, and cannot be cloned"
                )));
            };
            if !matches!(view.phase(), VolumePhase::Available | VolumePhase::InUse) {
                return Err(invalid(format!(
                    "Invalid volume: Unable to create volume from volume {id}: its status must be available or in-use"
                )));
            }
            let spec = &view.volume.spec;
            Origin {
                source: Some(VolumeSource::Volume(id)),
                least_gib: size_gib,
                what: "source volume",
                volume_type: spec.volume_type,
                image_metadata: spec.image_metadata.clone(),
                defaults: spec.defaults.clone(),
                bootable: spec.bootable,
            }
        }
    })
}

/// A name for a volume that nobody else in the project has, its title where that can be.
pub(crate) fn free_name(cloud: &Cloud, project: ProjectId, title: &str, id: Id) -> String {
    let mut characters = title.chars();
    let is_name = characters.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && title.len() > 1
        && characters.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && super::check_name(title).is_ok();
    if is_name && cloud.store.by_name::<Volume>(project, title).is_none() {
        title.to_owned()
    } else {
        own_name(id)
    }
}

/// The name that only this volume can have.
pub(crate) fn own_name(id: Id) -> String {
    format!("volume-{id}")
}

/// Changes a volume's record, and what `change` adds to the batch, again where somebody else changed
/// it meanwhile.
///
/// # Errors
/// [`ErrorKind::NotFound`], and what `change` says.
pub(crate) async fn change(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&View, &mut Volume, &mut Transaction) -> Result<(), ActionError>,
) -> Result<View, ActionError> {
    commit_change(cloud, caller, id, change).await?;
    super::show(cloud, caller, id)
}

/// As [`change`], and answers the generation; the volume itself may be gone by then.
async fn commit_change(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&View, &mut Volume, &mut Transaction) -> Result<(), ActionError>,
) -> Result<u64, ActionError> {
    loop {
        let view = super::show(cloud, caller, id)?;
        let Some(found) = cloud.store.get::<Volume>(id) else {
            return Err(super::not_found(id));
        };
        let mut volume = Volume::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        change(&view, &mut volume, &mut transaction)?;
        volume.meta.generation += 1;
        volume.meta.updated_at = Some(cloud.now());
        let generation = volume.meta.generation;
        transaction.update(id, found.revision, volume);
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(generation);
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Changes what is said of a volume.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: VolumeChange,
) -> Result<View, ActionError> {
    may(caller, policy::Action::UpdateVolume, cloud, id)?;
    change(cloud, caller, id, |_, volume, _| {
        let spec = &mut volume.spec;
        if let Some(title) = &wanted.title {
            spec.title.clone_from(title);
        }
        if let Some(description) = &wanted.description {
            spec.description.clone_from(description);
        }
        if let Some(metadata) = &wanted.metadata {
            spec.metadata.clone_from(metadata);
        }
        if let Some(metadata) = &wanted.image_metadata {
            spec.image_metadata.clone_from(metadata);
        }
        spec.bootable = wanted.bootable.unwrap_or(spec.bootable);
        spec.read_only = wanted.read_only.or(spec.read_only);
        spec.volume_type = wanted.volume_type.or(spec.volume_type);
        Ok(())
    })
    .await
}

/// Makes a volume larger, while it is used where the node can.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a size that is not larger, [`ErrorKind::Conflict`] in a phase that
/// does not allow it, and what the node says; the size stays as it was then.
pub async fn extend(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    size_gib: u32,
    while_used: bool,
) -> Result<(), ActionError> {
    may(caller, policy::Action::ExtendVolume, cloud, id)?;
    let waiter = cloud.observer.waiter(id);
    let before = super::show(cloud, caller, id)?.volume.spec.size_gib;
    let generation = commit_change(cloud, caller, id, |view, volume, transaction| {
        if !view.is_at_rest(while_used) {
            return Err(conflict(format!(
                "Invalid volume: Volume {id} status must be '{}' to extend, currently {}.",
                if while_used { "('available', 'in-use')" } else { "available" },
                view.phase().words(),
            )));
        }
        match volume.spec.size_gib {
            None => Err(conflict(format!(
                "Volume {id} is a directory without a size, and cannot be extended"
            ))),
            Some(now) if size_gib <= now => Err(invalid(format!(
                "Invalid input received: New size for extend must be greater than current size. (current: {now}, extended: {size_gib})."
            ))),
            Some(_) if size_gib > MOST_GIB => Err(invalid(format!(
                "Invalid input received: Volume size can be at most {MOST_GIB} GiB."
            ))),
            Some(now) => {
                volume.spec.size_gib = Some(size_gib);
                let wanted = [
                    (Resource::PerVolumeGib, u64::from(size_gib)),
                    (Resource::VolumeGib, u64::from(size_gib - now)),
                ];
                quota::claim(cloud, transaction, volume.meta.project, &wanted)
            }
        }
    })
    .await?;
    let done = waiter.until(|| {
        let Some(found) = cloud.store.get::<VolumeStatus>(id) else {
            return Some(Err(super::not_found(id)));
        };
        let status = found.value;
        let failure = status.error.clone();
        (status.generation >= generation)
            .then(|| failure.map_or(Ok(()), |failure| Err(failure.into())))
    });
    let extended = crate::instance::within(super::NODE_ANSWERS_WITHIN, done)
        .await
        .and_then(|answer| answer);
    if extended.is_err() {
        // What was not reached is not promised.
        change(cloud, caller, id, |_, volume, _| {
            volume.spec.size_gib = before;
            Ok(())
        })
        .await?;
    }
    extended
}

/// Waits until a volume that is being made can be attached.
///
/// # Errors
/// [`ErrorKind::NotFound`], what the node says, and [`ErrorKind::TimedOut`].
pub(crate) async fn made(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    let waiter = cloud.observer.waiter(id);
    let done = waiter.until(|| {
        if cloud.store.get::<Volume>(id).is_none() {
            return Some(Err(super::not_found(id)));
        }
        let status = cloud.store.get::<VolumeStatus>(id)?.value;
        Some(
            status
                .error
                .clone()
                .map_or(Ok(()), |failure| Err(failure.into())),
        )
    });
    crate::instance::within(super::NODE_ANSWERS_WITHIN, done)
        .await
        .and_then(|answer| answer)
}

/// Removes a volume with its contents, and with `cascade` its snapshots.
///
/// # Errors
/// [`ErrorKind::Conflict`] while it is used, has snapshots, or is in a phase that does not allow it.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    cascade: bool,
) -> Result<(), ActionError> {
    may(caller, policy::Action::DeleteVolume, cloud, id)?;
    let snapshots = snapshot::of(cloud, id);
    if cascade {
        for view in &snapshots {
            snapshot::remove(cloud, caller, view.snapshot.meta.id, false).await?;
        }
    }
    mark_removed(cloud, caller, id, |view| {
        let may = REMOVABLE.contains(&view.phase())
            && view.uses.is_empty()
            && (cascade || snapshots.is_empty());
        if may {
            return Ok(());
        }
        Err(conflict(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.",
        ))
    })
    .await
}

/// Removes a volume whatever its phase is said to be.
///
/// # Errors
/// [`ErrorKind::Conflict`] while it is used or has snapshots.
pub async fn force_remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    may(caller, policy::Action::ForceDeleteVolume, cloud, id)?;
    let has_snapshots = !snapshot::of(cloud, id).is_empty();
    mark_removed(cloud, caller, id, |view| {
        if view.is_mounted() || has_snapshots {
            return Err(conflict(format!(
                "Invalid volume: Volume {id} is still attached, or has snapshots; detach it, and remove them, first."
            )));
        }
        Ok(())
    })
    .await
}

async fn mark_removed(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    check: impl Fn(&View) -> Result<(), ActionError>,
) -> Result<(), ActionError> {
    let now = cloud.now();
    commit_change(cloud, caller, id, |view, volume, _| {
        if volume.meta.deleted_at.is_none() {
            check(view)?;
        }
        volume.meta.deleted_at.get_or_insert(now);
        Ok(())
    })
    .await
    .map(drop)
}

/// Says what phase a volume is in, whatever it is.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn reset_phase(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    phase: Option<VolumePhase>,
    drop_claims: bool,
) -> Result<(), ActionError> {
    may(caller, policy::Action::ResetVolume, cloud, id)?;
    change(cloud, caller, id, |view, volume, _| {
        volume.spec.phase = match phase.unwrap_or(volume.spec.phase) {
            // Its users say so by themselves, and for as long as it has any.
            VolumePhase::InUse if !view.uses.is_empty() => VolumePhase::Available,
            phase => phase,
        };
        if drop_claims {
            volume.spec.claims.clear();
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// Refuses who may not do this to a volume.
pub(crate) fn may(
    caller: &Caller,
    action: policy::Action,
    cloud: &Cloud,
    id: Id,
) -> Result<(), ActionError> {
    let volume = super::show(cloud, caller, id)?.volume;
    caller.may(action, &Target::project(volume.meta.project))
}

pub(crate) fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}

pub(crate) fn conflict(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Conflict, message)
}

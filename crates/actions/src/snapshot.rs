//! Snapshots: what there is of them, and what a caller may do with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::meta::NODE_FINALIZER;
use model::quota::Resource;
use model::snapshot::{Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus};
use model::volume::Volume;
use model::{Id, Meta};

use crate::policy::{self, Target};
use crate::volume::sized::{conflict, invalid};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen, is_visible, quota, volume};

/// A snapshot as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub snapshot: Arc<Snapshot>,
    /// What its node saw; `None` before it did.
    pub status: Option<Arc<SnapshotStatus>>,
}

impl View {
    /// What is being done with it.
    #[must_use]
    pub fn phase(&self) -> SnapshotPhase {
        let error = self
            .status
            .as_ref()
            .and_then(|status| status.error.as_ref());
        if self.snapshot.meta.deleted_at.is_some() {
            return if error.is_some() {
                SnapshotPhase::ErrorDeleting
            } else {
                SnapshotPhase::Deleting
            };
        }
        match (&self.status, error) {
            (None, _) => SnapshotPhase::Creating,
            (Some(_), Some(_)) => SnapshotPhase::Error,
            (Some(_), None) => self.snapshot.spec.phase.unwrap_or(SnapshotPhase::Available),
        }
    }
}

/// What to make.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// The volume.
    pub volume: Id,
    /// What its user calls it.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Words of its user's.
    pub metadata: BTreeMap<String, String>,
    /// Also of a volume that is used.
    pub while_used: bool,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a snapshot")]
pub struct SnapshotChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub phase: Option<SnapshotPhase>,
}

/// Has a snapshot made of a volume, and answers at once.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the volume, [`ErrorKind::Invalid`] in a phase that does not allow
/// it, and for a volume without a size.
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewSnapshot) -> Result<View, ActionError> {
    loop {
        let of = volume::show(cloud, caller, new.volume)?;
        let project = of.volume.meta.project;
        caller.may(policy::Action::CreateSnapshot, &Target::project(project))?;
        if !of.is_at_rest(new.while_used) {
            return Err(invalid(format!(
                "Invalid volume: Volume {} status must be available{}, but current status is: {}.",
                new.volume,
                if new.while_used { " or in-use" } else { "" },
                of.phase().words()
            )));
        }
        let Some(size_gib) = of.volume.spec.size_gib else {
            return Err(invalid(format!(
                "Invalid volume: Volume {} is a directory without a size; there are no snapshots of it",
                new.volume
            )));
        };
        let mut meta = Meta::new(new.name.clone(), project, cloud.now());
        meta.finalizers.push(NODE_FINALIZER.to_owned());
        let id = meta.id;
        let snapshot = Snapshot {
            meta,
            spec: SnapshotSpec {
                volume: new.volume,
                size_gib,
                description: new.description.clone(),
                metadata: new.metadata.clone(),
                user: caller.user,
                phase: None,
                progress_percent: None,
            },
        };
        // It must not be removed meanwhile.
        let Some(found) = cloud.store.get::<Volume>(new.volume) else {
            continue;
        };
        if found.value.meta.deleted_at.is_some() {
            continue;
        }
        let mut transaction = cloud.store.transaction();
        transaction
            .insert(id, snapshot)
            .require::<Volume>(new.volume, found.revision);
        let wanted = [
            (Resource::VolumeGib, u64::from(size_gib)),
            (Resource::Snapshots, 1),
        ];
        quota::claim(cloud, &mut transaction, project, &wanted)?;
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return get(cloud, caller, id);
            }
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The snapshots of the caller's project, or for an admin who asks for it of every project; the
/// newest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller, everybodys: bool) -> Result<Vec<View>, ActionError> {
    caller.may(
        policy::Action::GetSnapshot,
        &Target::project(caller.project()),
    )?;
    let mut views: Vec<View> = cloud
        .store
        .list::<Snapshot>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|snapshot| {
            let project = snapshot.meta.project;
            is_visible(caller, project) || everybodys && is_seen(caller, project)
        })
        .map(|snapshot| view(cloud, snapshot))
        .collect();
    views.sort_by_key(|view| {
        std::cmp::Reverse((view.snapshot.meta.created_at, view.snapshot.meta.id))
    });
    Ok(views)
}

/// One snapshot.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    let found = cloud
        .store
        .get::<Snapshot>(id)
        .filter(|found| is_seen(caller, found.value.meta.project))
        .ok_or_else(|| missing(id))?;
    let project = found.value.meta.project;
    caller.may(policy::Action::GetSnapshot, &Target::project(project))?;
    Ok(view(cloud, found.value))
}

/// The snapshots of a volume, whoever's they are.
pub(crate) fn of(cloud: &Cloud, volume: Id) -> Vec<View> {
    cloud
        .store
        .list::<Snapshot>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|snapshot| snapshot.spec.volume == volume)
        .map(|snapshot| view(cloud, snapshot))
        .collect()
}

fn view(cloud: &Cloud, snapshot: Arc<Snapshot>) -> View {
    let status = cloud.store.get::<SnapshotStatus>(snapshot.meta.id);
    View {
        status: status.map(|found| found.value),
        snapshot,
    }
}

fn missing(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Snapshot {id} could not be found."),
    )
}

/// Changes what is said of a snapshot.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: SnapshotChange,
) -> Result<View, ActionError> {
    let action = if wanted.phase.is_some() {
        policy::Action::ResetSnapshot
    } else {
        policy::Action::UpdateSnapshot
    };
    change(cloud, caller, id, action, |_, snapshot| {
        if let Some(name) = &wanted.name {
            snapshot.meta.name.clone_from(name);
        }
        if let Some(description) = &wanted.description {
            snapshot.spec.description.clone_from(description);
        }
        if let Some(metadata) = &wanted.metadata {
            snapshot.spec.metadata.clone_from(metadata);
        }
        snapshot.spec.phase = wanted.phase.or(snapshot.spec.phase);
        Ok(())
    })
    .await?;
    get(cloud, caller, id)
}

/// Says how far a snapshot is that is being made or removed, as whoever does so for a machine's
/// disks reports it.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] for a phase that does not follow from the one
/// that it is in.
pub async fn report(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    phase: SnapshotPhase,
    progress_percent: Option<u8>,
) -> Result<(), ActionError> {
    use SnapshotPhase as P;
    change(
        cloud,
        caller,
        id,
        policy::Action::ReportSnapshot,
        |view, snapshot| {
            let now = view.phase();
            let next: &[P] = match now {
                P::Creating => &[P::Creating, P::Available, P::Error],
                P::Deleting => &[P::Deleting, P::ErrorDeleting],
                P::Available | P::Error | P::ErrorDeleting => {
                    return Err(invalid(format!(
                        "Snapshot status {} not allowed for update_snapshot_status",
                        now.words()
                    )));
                }
            };
            if !next.contains(&phase) {
                return Err(invalid(format!(
                    "Provided snapshot status {} not allowed for snapshot with status {}.",
                    phase.words(),
                    now.words()
                )));
            }
            snapshot.spec.phase = Some(phase);
            snapshot.spec.progress_percent = progress_percent.or(snapshot.spec.progress_percent);
            Ok(())
        },
    )
    .await
}

/// Has a snapshot removed, and answers at once; with `force` whatever its phase is said to be.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] in a phase that does not allow it.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    force: bool,
) -> Result<(), ActionError> {
    let action = if force {
        policy::Action::ForceDeleteSnapshot
    } else {
        policy::Action::DeleteSnapshot
    };
    let now = cloud.now();
    change(cloud, caller, id, action, |view, snapshot| {
        let phase = view.phase();
        let fits = matches!(phase, SnapshotPhase::Available | SnapshotPhase::Error);
        if !force && !fits && snapshot.meta.deleted_at.is_none() {
            return Err(conflict(format!(
                "Invalid snapshot: Snapshot status must be available or error, but is {}.",
                phase.words()
            )));
        }
        snapshot.meta.deleted_at.get_or_insert(now);
        Ok(())
    })
    .await
}

async fn change(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    action: policy::Action,
    act: impl Fn(&View, &mut Snapshot) -> Result<(), ActionError>,
) -> Result<(), ActionError> {
    loop {
        let before = get(cloud, caller, id)?;
        let Some(found) = cloud.store.get::<Snapshot>(id) else {
            return Err(missing(id));
        };
        let mut snapshot = Snapshot::clone(&found.value);
        caller.may(action, &Target::project(snapshot.meta.project))?;
        act(&before, &mut snapshot)?;
        snapshot.meta.generation += 1;
        snapshot.meta.updated_at = Some(cloud.now());
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, snapshot);
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

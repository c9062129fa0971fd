//! Transfers: a volume is offered to whoever knows a key, and goes over to their project.

use std::sync::Arc;

use model::quota::Resource;
use model::snapshot::Snapshot;
use model::volume::{Volume, VolumePhase};
use model::volume_transfer::{VolumeTransfer, VolumeTransferSpec};
use model::{Id, Meta};
use rand::Rng as _;
use ring::digest::{SHA256, digest};
use store::Versioned;

use crate::policy::{self, Target};
use crate::volume::sized::{conflict, free_name, invalid, own_name};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen, is_visible, quota, volume};

/// Bytes of a key, and of the salt that it is kept with.
const KEY_BYTES: usize = 8;

/// What to offer.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// What its user calls the offer.
    pub name: String,
    /// The volume.
    pub volume: Id,
    /// Its snapshots stay.
    pub without_snapshots: bool,
}

/// Offers a volume; answers the key, which is told this once.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless the volume is available.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewTransfer,
) -> Result<(Arc<VolumeTransfer>, String), ActionError> {
    volume::sized::may(caller, policy::Action::CreateTransfer, cloud, new.volume)?;
    let (key, salt) = (random(), random());
    let project = volume::show(cloud, caller, new.volume)?.volume.meta.project;
    let transfer = VolumeTransfer {
        meta: Meta::new(new.name, project, cloud.now()),
        spec: VolumeTransferSpec {
            volume: new.volume,
            without_snapshots: new.without_snapshots,
            key_digest: digest_of(&salt, &key),
            salt,
        },
    };
    let id = transfer.meta.id;
    volume::sized::change(cloud, caller, new.volume, |view, volume, transaction| {
        if view.phase() != VolumePhase::Available || volume.spec.size_gib.is_none() {
            return Err(conflict("Invalid volume: status must be available"));
        }
        volume.spec.phase = VolumePhase::AwaitingTransfer;
        transaction.insert(id, transfer.clone());
        Ok(())
    })
    .await?;
    Ok((Arc::new(transfer), key))
}

fn random() -> String {
    let mut bytes = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn digest_of(salt: &str, key: &str) -> String {
    hex::encode(digest(&SHA256, format!("{salt}:{key}").as_bytes()))
}

/// The offers of the caller's project, or for an admin who asks for it of every project.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    everybodys: bool,
) -> Result<Vec<Arc<VolumeTransfer>>, ActionError> {
    caller.may(
        policy::Action::GetTransfer,
        &Target::project(caller.project()),
    )?;
    let all = cloud.store.list::<VolumeTransfer>().into_iter();
    Ok(all
        .map(|(_, found)| found.value)
        .filter(|transfer| {
            let project = transfer.meta.project;
            is_visible(caller, project) || everybodys && is_seen(caller, project)
        })
        .collect())
}

/// One offer.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<VolumeTransfer>, ActionError> {
    record(cloud, id)
        .ok()
        .filter(|found| is_seen(caller, found.value.meta.project))
        .map(|found| found.value)
        .ok_or_else(|| missing(id))
}

fn record(cloud: &Cloud, id: Id) -> Result<Versioned<VolumeTransfer>, ActionError> {
    cloud
        .store
        .get::<VolumeTransfer>(id)
        .ok_or_else(|| missing(id))
}

fn missing(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Transfer {id} could not be found."),
    )
}

/// Takes an offer back.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let transfer = get(cloud, caller, id)?;
    let project = Target::project(transfer.meta.project);
    caller.may(policy::Action::DeleteTransfer, &project)?;
    loop {
        let found = record(cloud, id)?;
        let mut transaction = cloud.store.transaction();
        transaction.delete::<VolumeTransfer>(id, Some(found.revision));
        if let Some(offered) = cloud.store.get::<Volume>(found.value.spec.volume) {
            let mut volume = Volume::clone(&offered.value);
            if volume.spec.phase == VolumePhase::AwaitingTransfer {
                volume.spec.phase = VolumePhase::Available;
            }
            volume.meta.generation += 1;
            transaction.update(volume.meta.id, offered.revision, volume);
        }
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Accepts an offer: the volume, and unless they stay its snapshots, go over to the caller's project.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] with another key, [`ErrorKind::Conflict`] for a
/// volume that is no longer on offer.
pub async fn accept(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    key: &str,
) -> Result<Arc<VolumeTransfer>, ActionError> {
    let project = caller.project();
    caller.may(policy::Action::AcceptTransfer, &Target::project(project))?;
    loop {
        let found = record(cloud, id)?;
        let transfer = &found.value.spec;
        let given = digest_of(&transfer.salt, key);
        if !is_same(given.as_bytes(), transfer.key_digest.as_bytes()) {
            return Err(invalid(format!(
                "Invalid auth key: Attempt to transfer {id} with invalid auth key."
            )));
        }
        let offered = cloud.store.get::<Volume>(transfer.volume);
        let offered = offered
            .filter(|offered| offered.value.spec.phase == VolumePhase::AwaitingTransfer)
            .ok_or_else(|| conflict("Invalid volume: status must be awaiting-transfer"))?;
        let mut volume = Volume::clone(&offered.value);
        let of = volume.meta.id;
        volume.meta.name = match free_name(cloud, project, &volume.spec.title, of) {
            name if name == volume.spec.title => name,
            _ => own_name(of),
        };
        volume.meta.project = project;
        volume.meta.generation += 1;
        volume.meta.updated_at = Some(cloud.now());
        volume.spec.phase = VolumePhase::Available;
        volume.spec.user = Some(caller.user);
        let mut snapshots = cloud.store.list::<Snapshot>();
        snapshots.retain(|(_, found)| found.value.spec.volume == of && !transfer.without_snapshots);
        let sizes = snapshots.iter().map(|(_, found)| found.value.spec.size_gib);
        let size: u64 = sizes.chain(volume.spec.size_gib).map(u64::from).sum();
        let wanted = [
            (Resource::VolumeGib, size),
            (Resource::Volumes, 1),
            (Resource::Snapshots, snapshots.len() as u64),
        ];
        let mut transaction = cloud.store.transaction();
        quota::claim(cloud, &mut transaction, project, &wanted)?;
        transaction
            .delete::<VolumeTransfer>(id, Some(found.revision))
            .update(of, offered.revision, volume);
        for (snapshot_id, snapshot) in snapshots {
            let mut moved = Snapshot::clone(&snapshot.value);
            moved.meta.project = project;
            moved.meta.generation += 1;
            transaction.update(snapshot_id, snapshot.revision, moved);
        }
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(found.value);
            }
            Err(
                store::CommitError::Conflict { .. }
                | store::CommitError::NotFound { .. }
                | store::CommitError::NameTaken { .. },
            ) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Compares in a time that says nothing about where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_digest_and_salt() {
        let (key, salt) = (random(), random());
        assert_eq!(key.len(), 2 * KEY_BYTES);
        let kept = digest_of(&salt, &key);
        assert!(is_same(kept.as_bytes(), digest_of(&salt, &key).as_bytes()));
        assert!(!is_same(
            kept.as_bytes(),
            digest_of(&salt, "other").as_bytes()
        ));
        assert!(!is_same(kept.as_bytes(), b""));
    }
}

//! Claims: what somebody outside of this cloud's instances says of their use of a volume.
//!
//! Nothing is mounted for one. What an instance of this cloud is to mount is attached by
//! [`crate::volume_attachment`], and needs no claim.

use model::Id;
use model::volume::{Volume, VolumeClaim, VolumePhase};
use serde_json::Value;

use super::sized::{change, conflict, may};
use super::{Use, View, list_all, show};
use crate::policy;
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// A claim to make.
#[derive(Clone, Debug, Default)]
pub struct NewClaim {
    /// The machine that is to use it.
    pub instance: Option<String>,
    /// The host of that machine.
    pub host: Option<String>,
    /// Where it is to be seen there.
    pub device: Option<String>,
    /// It is not to be written.
    pub read_only: bool,
    /// What is needed to reach the volume from there; without it the volume is only reserved.
    pub connector: Option<Value>,
}

/// Says that a volume is about to be attached.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless it is available.
pub async fn reserve(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    step(
        cloud,
        caller,
        id,
        &[VolumePhase::Available],
        VolumePhase::Attaching,
    )
    .await
}

/// Takes that back.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn unreserve(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    change(cloud, caller, id, |_, volume, _| {
        if matches!(
            volume.spec.phase,
            VolumePhase::Attaching | VolumePhase::Reserved
        ) {
            volume.spec.phase = VolumePhase::Available;
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// Says that a volume is about to be detached.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless it is used.
pub async fn begin_detaching(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    step(
        cloud,
        caller,
        id,
        &[VolumePhase::InUse],
        VolumePhase::Detaching,
    )
    .await
}

/// Takes that back.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn roll_detaching(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    change(cloud, caller, id, |_, volume, _| {
        if volume.spec.phase == VolumePhase::Detaching {
            volume.spec.phase = VolumePhase::Available;
        }
        Ok(())
    })
    .await
    .map(drop)
}

async fn step(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    from: &[VolumePhase],
    to: VolumePhase,
) -> Result<(), ActionError> {
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    change(cloud, caller, id, |view, volume, _| {
        refuse_unless(view, from)?;
        volume.spec.phase = to;
        Ok(())
    })
    .await
    .map(drop)
}

fn refuse_unless(view: &View, allowed: &[VolumePhase]) -> Result<(), ActionError> {
    let phase = view.phase();
    if allowed.contains(&phase) {
        return Ok(());
    }
    let allowed: Vec<&str> = allowed.iter().map(|phase| phase.words()).collect();
    Err(conflict(format!(
        "Invalid volume: Volume {}'s status must be {}. Currently in {}.",
        view.volume.meta.id,
        allowed.join(" or "),
        phase.words()
    )))
}

/// Says that a volume is attached somewhere.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless it is available or announced.
pub async fn mark_attached(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewClaim,
) -> Result<(), ActionError> {
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    let allowed = [
        VolumePhase::Available,
        VolumePhase::Reserved,
        VolumePhase::Attaching,
    ];
    change(cloud, caller, id, |view, volume, _| {
        if !(volume.spec.shared && view.phase() == VolumePhase::InUse) {
            refuse_unless(view, &allowed)?;
        }
        volume.spec.phase = VolumePhase::Available;
        let claim = made(cloud, &new, VolumePhase::InUse);
        volume.spec.claims.push(claim);
        Ok(())
    })
    .await
    .map(drop)
}

fn made(cloud: &Cloud, new: &NewClaim, phase: VolumePhase) -> VolumeClaim {
    VolumeClaim {
        id: Id::random(),
        instance: new.instance.clone(),
        host: new.host.clone(),
        device: new.device.clone(),
        read_only: new.read_only,
        phase,
        created_at: cloud.now(),
        connector: new.connector.clone(),
    }
}

/// Makes a claim on a volume: it is reserved, or with a connector being attached.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless it is available, or used and may be shared.
pub async fn claim(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewClaim,
) -> Result<(View, Id), ActionError> {
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    let phase = if new.connector.is_some() {
        VolumePhase::Attaching
    } else {
        VolumePhase::Reserved
    };
    let claim = made(cloud, &new, phase);
    let view = change(cloud, caller, id, |view, volume, _| {
        let joins = volume.spec.shared
            && matches!(view.phase(), VolumePhase::InUse | VolumePhase::Reserved);
        if !joins {
            refuse_unless(view, &[VolumePhase::Available])?;
        }
        volume.spec.claims.push(claim.clone());
        Ok(())
    })
    .await?;
    Ok((view, claim.id))
}

/// Every use of the volumes that a caller may see.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn claims(
    cloud: &Cloud,
    caller: &Caller,
    everybodys: bool,
) -> Result<Vec<(View, Use)>, ActionError> {
    let views = list_all(cloud, caller, everybodys)?;
    Ok(views
        .into_iter()
        .flat_map(|view| {
            let uses = view.uses.clone().into_iter();
            uses.map(move |one| (view.clone(), one))
        })
        .collect())
}

/// Gives a claim its connector: the volume is being attached.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn update_claim(
    cloud: &Cloud,
    caller: &Caller,
    claim: Id,
    connector: Value,
    device: Option<String>,
) -> Result<View, ActionError> {
    change_claim(cloud, caller, claim, |claim| {
        claim.connector = Some(connector.clone());
        claim.phase = VolumePhase::Attaching;
        if let Some(host) = connector["host"].as_str() {
            claim.host = Some(host.to_owned());
        }
        claim.device = device.clone().or_else(|| claim.device.take());
    })
    .await
}

/// Says that what was claimed is attached.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn complete_claim(
    cloud: &Cloud,
    caller: &Caller,
    claim: Id,
) -> Result<View, ActionError> {
    change_claim(cloud, caller, claim, |claim| {
        claim.phase = VolumePhase::InUse;
    })
    .await
}

async fn change_claim(
    cloud: &Cloud,
    caller: &Caller,
    claim: Id,
    act: impl Fn(&mut VolumeClaim),
) -> Result<View, ActionError> {
    let id = volume_of(cloud, claim)?;
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    change(cloud, caller, id, |_, volume, _| {
        let claims = &mut volume.spec.claims;
        let known = claims.iter_mut().find(|known| known.id == claim);
        act(known.ok_or_else(|| missing(claim))?);
        Ok(())
    })
    .await
}

/// Takes a claim back: by its identity, or with none every claim on a volume.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] for a volume without a claim.
pub async fn drop_claim(
    cloud: &Cloud,
    caller: &Caller,
    volume: Option<Id>,
    claim: Option<Id>,
) -> Result<View, ActionError> {
    let id = match (volume, claim) {
        (Some(id), _) => id,
        (None, Some(claim)) => volume_of(cloud, claim)?,
        (None, None) => return Err(ActionError::new(ErrorKind::Invalid, "nothing is named")),
    };
    may(caller, policy::Action::AttachVolume, cloud, id)?;
    change(cloud, caller, id, |_, volume, _| {
        let claims = &mut volume.spec.claims;
        match claim {
            Some(claim) if !claims.iter().any(|known| known.id == claim) => {
                return Err(missing(claim));
            }
            Some(claim) => claims.retain(|known| known.id != claim),
            None => claims.clear(),
        }
        if volume.spec.phase == VolumePhase::Detaching {
            volume.spec.phase = VolumePhase::Available;
        }
        Ok(())
    })
    .await
}

/// Takes a claim on a volume back, or all of them, whatever the volume's phase is said to be.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`].
pub async fn force_drop_claims(
    cloud: &Cloud,
    caller: &Caller,
    volume: Id,
    claim: Option<Id>,
) -> Result<(), ActionError> {
    may(caller, policy::Action::ForceDetachVolume, cloud, volume)?;
    drop_claim(cloud, caller, Some(volume), claim).await?;
    change(cloud, caller, volume, |_, volume, _| {
        if volume.spec.claims.is_empty() {
            volume.spec.phase = VolumePhase::Available;
        }
        Ok(())
    })
    .await
    .map(drop)
}

fn volume_of(cloud: &Cloud, claim: Id) -> Result<Id, ActionError> {
    let volumes = cloud.store.list::<Volume>();
    let found = volumes.iter().find(|(_, found)| {
        found
            .value
            .spec
            .claims
            .iter()
            .any(|known| known.id == claim)
    });
    found.map(|(id, _)| *id).ok_or_else(|| missing(claim))
}

fn missing(claim: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Volume attachment could not be found with filter: attachment_id = {claim}."),
    )
}

/// The volume of an attachment, whoever made it, and the attachment.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn find_use(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(View, Use), ActionError> {
    if let Ok(volume) = volume_of(cloud, id) {
        let view = show(cloud, caller, volume)?;
        let one = view.uses.iter().find(|one| one.id == id).cloned();
        return one.map(|one| (view, one)).ok_or_else(|| missing(id));
    }
    let mut all = claims(cloud, caller, true)?.into_iter();
    all.find(|(_, one)| one.id == id).ok_or_else(|| missing(id))
}

//! The volumes that a server is to have from the start: looked at when it is asked for, made and
//! attached before its first start.

use model::Id;
use model::server::{Content, MadeVolume, Server, WantedVolume};
use model::volume::{Volume, VolumePhase};

use super::{NewServer, invalid};
use crate::volume::sized::{self, NewSized, NewSource};
use crate::volume_attachment::{self, NewAttachment};
use crate::{ActionError, Caller, Cloud, instance, snapshot, volume};

/// Refuses volumes that are known to be missing, or in use.
pub(super) fn check(cloud: &Cloud, caller: &Caller, new: &NewServer) -> Result<(), ActionError> {
    for wanted in &new.volumes {
        match &wanted.made {
            None => check_there(cloud, caller, wanted.volume, new.count)?,
            Some(made) => check_made(cloud, caller, made)?,
        }
    }
    Ok(())
}

fn check_there(cloud: &Cloud, caller: &Caller, id: Id, servers: u32) -> Result<(), ActionError> {
    let found = volume::show(cloud, caller, id).map_err(|error| {
        let words = "Block Device Mapping is Invalid: failed to get volume";
        invalid(format!("{words} {id}.")).caused_by(error)
    })?;
    let is_shared = found.volume.spec.shared;
    let phase = found.phase();
    if phase != VolumePhase::Available && !(phase == VolumePhase::InUse && is_shared) {
        return Err(invalid(format!(
            "Invalid volume: volume '{id}' status must be 'available'. Currently in '{}'",
            phase.words()
        )));
    }
    if servers > 1 && !is_shared {
        return Err(invalid(format!(
            "Invalid volume: volume '{id}' cannot be attached to several servers at once."
        )));
    }
    Ok(())
}

fn check_made(cloud: &Cloud, caller: &Caller, made: &MadeVolume) -> Result<(), ActionError> {
    match made.content {
        Content::Blank if made.size_gib.is_none() => Err(invalid(
            "Block Device Mapping is Invalid: Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size",
        )),
        Content::Blank => Ok(()),
        Content::Image(id) => super::create::chosen_image(cloud, caller, id, None).map(drop),
        Content::Snapshot(id) => match snapshot::get(cloud, caller, id) {
            Ok(_) => Ok(()),
            Err(error) => Err(invalid(format!(
                "Block Device Mapping is Invalid: failed to get snapshot {id}."
            ))
            .caused_by(error)),
        },
    }
}

/// Makes and attaches the volumes of a server whose instance is there; what a run before this one
/// made and attached is taken.
pub(super) async fn attach(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
) -> Result<(), ActionError> {
    let id = server.meta.id;
    for wanted in &server.spec.volumes {
        let attached = instance::find(cloud, id).is_some_and(|view| {
            let mut known = view.instance.spec.attached_volumes.iter();
            known.any(|known| known.volume == wanted.volume)
        });
        if attached {
            continue;
        }
        if let Some(made) = &wanted.made {
            make(cloud, caller, wanted, made).await?;
        }
        let new = NewAttachment {
            volume: wanted.volume,
            device: wanted.device.clone(),
            tag: wanted.tag.clone(),
            delete_with_instance: wanted.delete_with_server,
        };
        volume_attachment::attach(cloud, caller, id, new).await?;
    }
    Ok(())
}

async fn make(
    cloud: &Cloud,
    caller: &Caller,
    wanted: &WantedVolume,
    made: &MadeVolume,
) -> Result<(), ActionError> {
    if cloud.store.get::<Volume>(wanted.volume).is_none() {
        let new = NewSized {
            id: Some(wanted.volume),
            size_gib: made.size_gib,
            source: match made.content {
                Content::Blank => None,
                Content::Image(id) => Some(NewSource::Image(id)),
                Content::Snapshot(id) => Some(NewSource::Snapshot(id)),
            },
            volume_type: made.volume_type.clone(),
            ..NewSized::default()
        };
        sized::create(cloud, caller, new).await?;
    }
    sized::made(cloud, wanted.volume).await
}

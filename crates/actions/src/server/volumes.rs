//! The volumes that a server is to have from the start: looked at when it is asked for, made and
//! attached before its first start.

use model::Id;
use model::server::{Content, MadeVolume, Server, WantedVolume};
use model::volume::{Volume, VolumePhase};

use super::lower::Base;
use super::{NewServer, invalid};
use crate::volume::sized::{self, NewSized, NewSource};
use crate::volume_attachment::{self, NewAttachment};
use crate::{ActionError, Caller, Cloud, instance, snapshot, volume};

/// Properties of a volume made from an image that name the image.
const IMAGE_ID: &str = "image_id";
const IMAGE_NAME: &str = "image_name";

/// What a server starts from.
pub(super) fn base(cloud: &Cloud, server: &Server) -> Result<Base, ActionError> {
    if let Some(root) = server.spec.root_volume() {
        let found = cloud.store.get::<Volume>(root.volume);
        let volume = found.ok_or_else(|| volume::not_found(root.volume))?.value;
        let mut properties = volume.spec.image_metadata.clone();
        properties.retain(|name, _| name != IMAGE_ID && name != IMAGE_NAME);
        return Ok(Base {
            content: String::new(),
            volume: volume.meta.name.clone(),
            defaults: volume.spec.defaults.clone(),
            properties,
        });
    }
    let image = server.spec.image.clone().unwrap_or_default();
    Ok(Base {
        volume: String::new(),
        defaults: cloud.images.by_id(&image.content)?.defaults.clone(),
        content: image.content,
        properties: image.properties,
    })
}

/// The image that the volume was made from which a server starts from.
pub(super) fn root_image(cloud: &Cloud, root: &WantedVolume) -> Option<String> {
    let found = cloud.store.get::<Volume>(root.volume)?;
    found.value.spec.image_metadata.get(IMAGE_ID).cloned()
}

/// Refuses volumes that are known to be missing, or in use.
pub(super) fn check(cloud: &Cloud, caller: &Caller, new: &NewServer) -> Result<(), ActionError> {
    for wanted in &new.volumes {
        match &wanted.made {
            None => check_there(cloud, caller, wanted.volume, new.count)?,
            Some(made) => check_made(cloud, caller, made)?,
        }
        if wanted.root {
            check_root(cloud, caller, wanted)?;
        }
    }
    Ok(())
}

/// Refuses to start from a volume that no server can start from.
fn check_root(cloud: &Cloud, caller: &Caller, wanted: &WantedVolume) -> Result<(), ActionError> {
    let id = match wanted.made.as_ref().map(|made| made.content) {
        None => wanted.volume,
        Some(Content::Snapshot(id)) => snapshot::get(cloud, caller, id)?.snapshot.spec.volume,
        Some(Content::Image(_)) => return Ok(()),
        Some(Content::Blank) => {
            return Err(invalid(
                "Block Device Mapping is Invalid: a server does not start from an empty volume.",
            ));
        }
    };
    let spec = &volume::show(cloud, caller, id)?.volume.spec;
    if !spec.bootable {
        return Err(invalid(format!("Block Device {id} is not bootable.")));
    }
    if spec.size_gib.is_none() || spec.read_only == Some(true) {
        return Err(invalid(format!(
            "Block Device Mapping is Invalid: volume {id} has no size, or cannot be written; a server does not start from it."
        )));
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
        Content::Image(_) if made.size_gib.is_none() => Err(invalid(
            "Block Device Mapping is Invalid: Images with destination_type 'volume' need to have a non-zero size specified",
        )),
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
        ensure(cloud, caller, wanted).await?;
        let new = NewAttachment {
            volume: wanted.volume,
            device: wanted.device.clone(),
            tag: wanted.tag.clone(),
            delete_with_instance: wanted.delete_with_server,
            root: wanted.root,
        };
        volume_attachment::attach(cloud, caller, id, new).await?;
    }
    Ok(())
}

/// Makes a volume that is made with a server, unless that is done.
pub(super) async fn ensure(
    cloud: &Cloud,
    caller: &Caller,
    wanted: &WantedVolume,
) -> Result<(), ActionError> {
    let Some(made) = &wanted.made else {
        return Ok(());
    };
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

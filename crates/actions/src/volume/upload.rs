//! Images of volumes: what a volume holds becomes the data of a registered image, a root file system as
//! tar.

use std::sync::Arc;

use model::Id;
use model::registered_image::{DiskFormat, RegisteredImage, Wrapping};
use model::volume::{Volume, VolumePhase};

use super::View;
use super::sized::{change, conflict, invalid, may};
use crate::policy::Action;
use crate::registered_image::{self, NewImage};
use crate::server::COMMAND_PROPERTY;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// Registers an image, and then fills it with what a volume holds: answers at once with both. The
/// image is active when all is there. Where that fails it is removed again.
///
/// # Errors
/// [`ErrorKind::Conflict`] unless the volume is available, or used and may be (`while_used`: what is
/// written meanwhile may be in the image or not); [`ErrorKind::Invalid`] for a volume without a size;
/// as [`registered_image::create`].
pub async fn upload(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    mut new: NewImage,
    while_used: bool,
) -> Result<(View, Arc<RegisteredImage>), ActionError> {
    may(caller, Action::UploadVolume, cloud, id)?;
    let view = change(cloud, caller, id, |view, volume, _| {
        if volume.spec.size_gib.is_none() {
            return Err(invalid(format!(
                "Volume {id} is a directory without a size, and cannot be uploaded"
            )));
        }
        if !view.is_at_rest(while_used) {
            return Err(conflict(format!(
                "Invalid volume: Volume {id} status must be available{}, but current status is: {}.",
                if while_used { " or in-use" } else { "" },
                view.phase().words()
            )));
        }
        volume.spec.phase = VolumePhase::Uploading;
        Ok(())
    })
    .await?;
    // What was said of the image that the volume was made of still holds.
    let properties = view.volume.spec.image_metadata.clone().into_iter();
    let is_property = |name: &str| name != "image_id" && name != "image_name";
    new.spec
        .properties
        .extend(properties.filter(|(name, _)| is_property(name)));
    // A root file system alone does not say how it is started.
    let defaults = &view.volume.spec.defaults;
    let words = defaults.entrypoint.iter().chain(&defaults.command);
    if let Ok(line) = shlex::try_join(words.map(String::as_str))
        && !line.is_empty()
    {
        let properties = &mut new.spec.properties;
        let known = properties.entry(COMMAND_PROPERTY.to_owned());
        known.or_insert(line);
    }
    new.spec.wrapping = Some(Wrapping::Bare);
    new.spec.format = Some(DiskFormat::Raw);
    let image = match registered_image::create(cloud, caller, new).await {
        Ok(image) => image,
        Err(error) => {
            release(cloud, id).await?;
            return Err(error);
        }
    };
    let (volume, image_id) = (Arc::clone(&view.volume), image.meta.id);
    let (cloud, caller) = (cloud.clone(), caller.clone());
    drop(tokio::spawn(async move {
        let uploaded = async {
            let archive = cloud.nodes.export_volume(&volume).await?;
            registered_image::upload(&cloud, &caller, image_id, archive).await
        };
        if let Err(error) = uploaded.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                image = %image_id,
                volume = %id,
                "a volume could not be made an image of"
            );
            registered_image::discard(&cloud, image_id).await;
        }
        if let Err(error) = release(&cloud, id).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                volume = %id,
                "the end of an upload could not be written"
            );
        }
    }));
    Ok((view, image))
}

/// After a start: what was being uploaded when the daemon died is free again.
///
/// # Errors
/// When the store fails.
pub async fn recover(cloud: &Cloud) -> Result<(), ActionError> {
    for (id, found) in cloud.store.list::<Volume>() {
        if found.value.spec.phase == VolumePhase::Uploading {
            release(cloud, id).await?;
        }
    }
    Ok(())
}

/// Lets a volume be what it is apart from the upload.
async fn release(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    while let Some(found) = cloud.store.get::<Volume>(id) {
        let mut volume = Volume::clone(&found.value);
        if volume.spec.phase != VolumePhase::Uploading {
            break;
        }
        volume.spec.phase = VolumePhase::Available;
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, volume);
        match cloud.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

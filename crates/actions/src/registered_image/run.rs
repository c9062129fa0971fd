//! Running registered images, and making them of what runs: for the front ends that do.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Id;
use model::registered_image::{DiskFormat, ImageData, ImageState, RegisteredImage, Wrapping};

use super::data::{activate, or_restore, step};
use super::{NewImage, conflict, create, get, invalid, list};
use crate::commit::{NewCommit, commit_held};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// What is to be known of an image to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runnable {
    /// The engine's image, `sha256:...`. Make an instance of it by putting this into `image_id` of
    /// its container ([`crate::instance::create::NewInstance`]): it may not be listed, so that it is
    /// not found by name.
    pub content: String,
    /// What it is called.
    pub name: Option<String>,
    /// What is said of it, such as `os_command_line`.
    pub properties: BTreeMap<String, String>,
    /// GiB of disk that it needs at least.
    pub min_disk_gib: u32,
    /// MiB of memory that it needs at least.
    pub min_ram_mib: u32,
    /// Bytes of its data.
    pub size_bytes: u64,
}

/// What is to be known of an image to run it.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] where it is not there for the caller;
/// [`crate::ErrorKind::Conflict`] when it has no data yet, or is deactivated;
/// [`crate::ErrorKind::Invalid`] when its data is nothing that runs.
pub fn runnable(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Runnable, ActionError> {
    let image = get(cloud, caller, id)?;
    let spec = &image.spec;
    let (ImageState::Active, Some(data)) = (spec.state, &spec.data) else {
        return Err(conflict(format!("Image {id} is not active.")));
    };
    let content = data.content.clone().ok_or_else(|| {
        invalid(format!(
            "Image {id} is unacceptable: its data is no root file system (a tar, plain or with gzip or zstd) and no image archive"
        ))
    })?;
    Ok(Runnable {
        content,
        name: spec.name.clone(),
        properties: spec.properties.clone(),
        min_disk_gib: spec.min_disk_gib,
        min_ram_mib: spec.min_ram_mib,
        size_bytes: data.size_bytes,
    })
}

/// Refuses content that is of no image which is there for the caller.
pub(crate) fn check_content(
    cloud: &Cloud,
    caller: &Caller,
    content: &str,
) -> Result<(), ActionError> {
    let is_seen = list(cloud, caller)?
        .iter()
        .any(|image| image.spec.content() == Some(content));
    if is_seen {
        return Ok(());
    }
    Err(ActionError::new(
        ErrorKind::NotFound,
        format!("No image of yours holds {content}: it was removed, or was never yours"),
    ))
}

/// Registers an image of an instance: answers with it, and with what then makes it, and is to be
/// waited for. Where that fails, the image is removed again, as Nova does.
///
/// # Errors
/// As [`create`].
pub async fn snapshot(
    cloud: &Cloud,
    caller: &Caller,
    instance: Id,
    mut new: NewImage,
    commit: NewCommit,
) -> Result<
    (
        Arc<RegisteredImage>,
        impl Future<Output = Result<(), ActionError>> + Send + use<>,
    ),
    ActionError,
> {
    new.spec.wrapping = Some(Wrapping::Docker);
    new.spec.format = Some(DiskFormat::Raw);
    let image = create(cloud, caller, new).await?;
    let id = image.meta.id;
    let saving = step(cloud, id, ImageState::Queued, ImageState::Saving).await?;
    let (cloud, caller) = (cloud.clone(), caller.clone());
    let filling = async move {
        let made = async {
            let (made, _held) = commit_held(&cloud, &caller, instance, commit, true).await?;
            let data = ImageData {
                size_bytes: made.size_bytes,
                content: Some(made.id.clone()),
                file: None,
            };
            activate(&cloud, &caller, id, ImageState::Saving, data).await
        };
        let filled = or_restore(&cloud, id, made.await).await.map(drop);
        if filled.is_err() {
            discard(&cloud, id).await;
        }
        filled
    };
    Ok((saving, filling))
}

/// Removes an image that never got its data.
pub(crate) async fn discard(cloud: &Cloud, id: Id) {
    let mut transaction = cloud.store.transaction();
    transaction.delete::<RegisteredImage>(id, None);
    let discarded = match cloud.commit(transaction).await {
        Ok(committed) => durable(committed.durable).await,
        Err(error) => Err(error),
    };
    if let Err(error) = discarded {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            image = %id,
            "an image without data stays"
        );
    }
}

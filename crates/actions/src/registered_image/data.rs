//! The data of an image: in, made ready to run, and out again byte for byte.
//!
//! Data comes in whole before anything is made of it, so that an upload that breaks leaves the image
//! as it was. What came is kept as it is: a layer cannot be packed again to the very same bytes.

use std::sync::Arc;

use ::image::{ContentError, FileFacts, Held, ImportOptions, KeptFile, ReceiveError};
use model::Id;
use model::registered_image::{ImageData, ImageFile, ImageState, RegisteredImage, Wrapping};

use super::quota::{self, Counted};
use super::{
    change_counted, derived, forbidden, get, no_step, not_found, owned, restore, wrapping,
};
use crate::error::with_causes;
use crate::nodes::Archive;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// Bytes of the largest image, as in Glance's `image_size_cap`.
const MOST_BYTES: u64 = 1 << 40;

/// Fills an image with its data, and makes it ready to run. Goes on to the end, one way or the other,
/// even when the caller goes away.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it has data or gets some; [`ErrorKind::Invalid`] when the data
/// breaks off or is not what the image's formats say; [`ErrorKind::NoCapacity`] when the disk is
/// full; [`ErrorKind::QuotaExceeded`] when it is too large; [`ErrorKind::NotFound`] when the image
/// is removed meanwhile. The image waits for its data again then.
pub async fn upload(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    data: Archive,
) -> Result<(), ActionError> {
    owned(cloud, caller, id, Action::UploadImage)?;
    step(cloud, id, ImageState::Queued, ImageState::Saving).await?;
    let (cloud, caller) = (cloud.clone(), caller.clone());
    to_the_end(async move {
        let filled = async {
            let file = receive(&cloud, data).await?;
            fill(&cloud, &caller, id, ImageState::Saving, file).await
        };
        or_restore(&cloud, id, filled.await).await
    })
    .await
}

/// Takes an image's data in, to be imported later. Goes on to the end, as [`upload`].
///
/// # Errors
/// As [`upload`].
pub async fn stage(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    data: Archive,
) -> Result<(), ActionError> {
    owned(cloud, caller, id, Action::ModifyImage)?;
    step(cloud, id, ImageState::Queued, ImageState::Uploading).await?;
    let cloud = cloud.clone();
    to_the_end(async move {
        let staged = async {
            let file = receive(&cloud, data).await?;
            change_counted(&cloud, id, |image, transaction| {
                if image.spec.state != ImageState::Uploading {
                    return Err(gone(id));
                }
                image.spec.staged = Some(described(&file.facts));
                let (project, bytes) = (image.meta.project, file.facts.size_bytes);
                quota::claim(&cloud, transaction, project, Counted::StagedBytes, bytes)
            })
            .await
            .map(drop)
        };
        or_restore(&cloud, id, staged.await).await
    })
    .await
}

/// Runs to the end even when whoever waits for it goes away.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Where filling failed, lets the image wait for its data again.
pub(super) async fn or_restore<T>(
    cloud: &Cloud,
    id: Id,
    filled: Result<T, ActionError>,
) -> Result<T, ActionError> {
    if filled.is_err() {
        restore(cloud, id).await?;
    }
    filled
}

/// Takes an image from one state to the next, unless it is in another.
pub(super) async fn step(
    cloud: &Cloud,
    id: Id,
    from: ImageState,
    to: ImageState,
) -> Result<Arc<RegisteredImage>, ActionError> {
    change_counted(cloud, id, |image, transaction| {
        if image.spec.state != from {
            return Err(no_step(image.spec.state, to));
        }
        wrapping(&image.spec)?;
        image.spec.state = to;
        image.spec.import_failed = false;
        quota::claim(
            cloud,
            transaction,
            image.meta.project,
            Counted::Uploading,
            1,
        )
    })
    .await
}

/// Takes data in, whole.
pub(super) async fn receive(cloud: &Cloud, data: Archive) -> Result<KeptFile, ActionError> {
    let received = cloud
        .images
        .receive(data, MOST_BYTES)
        .await
        .map_err(|error| match error {
            ReceiveError::Read(_) => ActionError::new(
                ErrorKind::Invalid,
                format!("Data supplied was not complete: {}", with_causes(&error)),
            ),
            ReceiveError::TooLarge { .. } => ActionError::new(
                ErrorKind::QuotaExceeded,
                format!("The incoming image is too large: {error}"),
            ),
            ReceiveError::Content(error) => of_disk(error),
        })?;
    let images = cloud.images.clone();
    on_thread(move || images.keep(received).map_err(of_disk)).await
}

/// Makes an image's data ready to run, and the image active.
pub(super) async fn fill(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    from: ImageState,
    file: KeptFile,
) -> Result<(), ActionError> {
    let image = get(cloud, caller, id).map_err(|_| gone(id))?;
    let wrapping = wrapping(&image.spec)?;
    let images = cloud.images.clone();
    let facts = file.facts.clone();
    // What is held stays until the record says that it is in use.
    let (content, _held) = on_thread(move || made_of(&images, file, wrapping)).await?;
    let data = ImageData {
        size_bytes: facts.size_bytes,
        content,
        file: Some(described(&facts)),
    };
    activate(cloud, caller, id, from, data).await
}

/// Gives an image its data.
pub(super) async fn activate(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    from: ImageState,
    data: ImageData,
) -> Result<(), ActionError> {
    let image = change_counted(cloud, id, |image, transaction| {
        if image.spec.state != from {
            return Err(gone(id));
        }
        let project = image.meta.project;
        quota::claim(cloud, transaction, project, Counted::Bytes, data.size_bytes)?;
        image.spec.state = ImageState::Active;
        image.spec.data = Some(data.clone());
        image.spec.staged = None;
        image.spec.task = None;
        Ok(())
    })
    .await?;
    derived::name(cloud, caller, &image).await
}

/// The engine's image that a file is: an archive of one, or a root file system where it is a tar.
fn made_of(
    images: &::image::Store,
    file: KeptFile,
    wrapping: Wrapping,
) -> Result<(Option<String>, Held), ActionError> {
    match wrapping {
        Wrapping::Docker => {
            let (id, held) = images
                .load_kept(&file)
                .map_err(|error| refused(error.is_hosts(), is_full(&error), &error))?;
            Ok((Some(id), held.and(file.held)))
        }
        Wrapping::Bare if images.is_tar(&file).map_err(of_disk)? => {
            let options = ImportOptions {
                hidden: true,
                ..ImportOptions::default()
            };
            let (id, held) = images.import_kept(&file, &options).map_err(|error| {
                let full = is_full(&error);
                refused(error.is_hosts(), full, &error)
            })?;
            Ok((Some(id), held.and(file.held)))
        }
        Wrapping::Bare => Ok((None, file.held)),
    }
}

fn described(facts: &FileFacts) -> ImageFile {
    ImageFile {
        id: facts.id.clone(),
        size_bytes: facts.size_bytes,
        md5: facts.md5.clone(),
        sha512: facts.sha512.clone(),
    }
}

/// As [`described`], the other way.
pub(super) fn facts(file: &ImageFile) -> FileFacts {
    FileFacts {
        id: file.id.clone(),
        size_bytes: file.size_bytes,
        md5: file.md5.clone(),
        sha512: file.sha512.clone(),
    }
}

/// The data of an image on its way out.
pub enum Download {
    /// There is none yet.
    Nothing,
    /// The file that was uploaded.
    File(std::fs::File, ImageFile),
    /// An archive that is made of the engine's image meanwhile.
    Made(Archive),
}

/// The data of an image.
///
/// # Errors
/// [`ErrorKind::Forbidden`] when it is deactivated, and for readers.
pub fn download(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Download, ActionError> {
    let image = get(cloud, caller, id)?;
    if image.spec.state == ImageState::Deactivated && !caller.is_admin() {
        return Err(forbidden(
            "The requested image has been deactivated. Image data download is forbidden.",
        ));
    }
    // Whoever sees an image may have it, if their role allows any.
    caller.may(Action::DownloadImage, &Target::project(caller.project()))?;
    let Some(data) = &image.spec.data else {
        return Ok(Download::Nothing);
    };
    if let Some(file) = &data.file {
        let opened = cloud.images.open_kept(&file.id).map_err(of_disk)?;
        return Ok(Download::File(opened, file.clone()));
    }
    let content = data.content.as_deref().unwrap_or_default();
    let archive = cloud
        .images
        .save_by_id(content)
        .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))?;
    Ok(Download::Made(Box::new(archive)))
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// An error of the disk.
fn of_disk(error: ContentError) -> ActionError {
    refused(true, error.is_full_disk(), &error)
}

/// An error of the disk, of which the user must know when it is full, or of the data.
fn refused(is_hosts: bool, is_full: bool, error: &dyn std::error::Error) -> ActionError {
    let words = with_causes(error);
    if is_full {
        let message = format!("Image storage media is full: {words}");
        return ActionError::new(ErrorKind::NoCapacity, message);
    }
    let kind = if is_hosts {
        ErrorKind::Internal
    } else {
        ErrorKind::Invalid
    };
    ActionError::new(kind, words)
}

/// Whether something failed for want of room.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        if matches!(
            kind,
            Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        ) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The image was removed while its data came in.
fn gone(id: Id) -> ActionError {
    let mut error = not_found(id);
    error.message = format!(
        "Image {id} could not be found after upload. The image may have been deleted during the upload."
    );
    error
}

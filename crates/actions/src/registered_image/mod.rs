//! Registered images: what projects know of images, and who may have them.
//!
//! Every image that the operator's project has listed is one too, without a record of its own until
//! somebody changes it ([`derived`]). Data comes in through [`data`] and [`import`], and out through
//! [`data`]; whoever runs an image asks [`runnable`], and makes one of an instance by [`snapshot`].

mod data;
mod derived;
mod edit;
pub mod import;
pub mod member;
pub mod quota;
mod run;

use std::sync::Arc;

use model::registered_image::{
    ImageState, RegisteredImage, RegisteredImageSpec, Visibility, Wrapping,
};
use model::{Id, Meta, ProjectId};

pub(crate) use derived::id_of;
pub(crate) use import::download as fetched;

pub use data::{Download, download, stage, upload};
pub use edit::{Edit, deactivate, reactivate, update};
pub use run::{Runnable, runnable, snapshot};
pub(crate) use run::{check_content, discard};

use self::quota::Counted;
use crate::policy::{Action, Target};
use crate::quota::is_contended;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// Most properties of an image.
const MOST_PROPERTIES: usize = 128;
/// Most tags of an image.
const MOST_TAGS: usize = 128;

/// What to register.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// Its identity; `None` takes a random one.
    pub id: Option<Id>,
    /// Whose it is; `None` is the caller's project. Others may be named by an admin only.
    pub owner: Option<ProjectId>,
    /// What it is. State, data and members are as those of every new image.
    pub spec: RegisteredImageSpec,
}

/// Registers an image, which waits for its data.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when the identity is taken, [`ErrorKind::QuotaExceeded`] when it has
/// too many properties or tags.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewImage,
) -> Result<Arc<RegisteredImage>, ActionError> {
    let owner = new.owner.unwrap_or_else(|| caller.project());
    if owner != caller.project() && !caller.is_admin() {
        return Err(forbidden(format!(
            "You are not permitted to create images owned by '{owner}'."
        )));
    }
    caller.may(Action::AddImage, &Target::project(owner))?;
    let mut spec = new.spec;
    may_show(caller, owner, spec.visibility)?;
    check_amounts(&spec)?;
    spec.state = ImageState::Queued;
    spec.data = None;
    spec.staged = None;
    spec.members.clear();
    let mut meta = Meta::new(spec.name.clone().unwrap_or_default(), owner, cloud.now());
    if let Some(id) = new.id {
        meta.id = id;
    }
    let image = RegisteredImage { meta, spec };
    let id = image.meta.id;
    if derived::get(cloud, id).is_some() {
        return Err(taken(id));
    }
    loop {
        let mut transaction = cloud.store.transaction();
        transaction.insert(id, image.clone());
        quota::claim(cloud, &mut transaction, owner, Counted::Images, 1)?;
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(image));
            }
            Err(error) if is_contended(&error) => {}
            Err(store::CommitError::Exists { .. }) => return Err(taken(id)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every image that is there for the caller, however it is shared.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<RegisteredImage>>, ActionError> {
    caller.may(Action::ListImages, &Target::project(caller.project()))?;
    let records = cloud.store.list::<RegisteredImage>();
    let mut images: Vec<_> = records
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|image| is_there(caller, image))
        .collect();
    if sees(caller, ProjectId::ADMIN) {
        images.extend(derived::list(cloud));
    }
    Ok(images)
}

/// One image.
///
/// # Errors
/// [`ErrorKind::NotFound`], also where it is not for the caller.
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<RegisteredImage>, ActionError> {
    let missing = || not_found(id);
    caller
        .may(Action::ListImages, &Target::project(caller.project()))
        .map_err(|_| missing())?;
    let image = record(cloud, id).ok_or_else(missing)?;
    if is_there(caller, &image) {
        Ok(image)
    } else {
        Err(missing())
    }
}

/// Removes an image. Its content goes when nothing else uses it: what runs is not touched.
///
/// # Errors
/// [`ErrorKind::Forbidden`] where it is protected, or another project's.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let image = get(cloud, caller, id).map_err(|error| {
        ActionError::new(error.kind, format!("Failed to find image {id} to delete"))
    })?;
    caller.may(Action::DeleteImage, &Target::project(image.meta.project))?;
    while let Some(found) = cloud.store.get::<RegisteredImage>(id) {
        if found.value.spec.protected {
            return Err(forbidden(format!(
                "Image {id} is protected and cannot be deleted."
            )));
        }
        let mut transaction = cloud.store.transaction();
        transaction.delete::<RegisteredImage>(id, Some(found.revision));
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                break;
            }
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    derived::forget(cloud, caller, &image).await?;
    crate::image::collect(cloud.store.clone(), cloud.images.clone()).await;
    Ok(())
}

/// After a start: what was coming in when the daemon died waits for its data again.
///
/// # Errors
/// When the store fails.
pub async fn recover(cloud: &Cloud) -> Result<(), ActionError> {
    import::recover(cloud).await?;
    for (id, found) in cloud.store.list::<RegisteredImage>() {
        let spec = &found.value.spec;
        let is_half_made = match spec.state {
            ImageState::Saving | ImageState::Importing => true,
            ImageState::Uploading => spec.staged.is_none(),
            ImageState::Queued | ImageState::Active | ImageState::Deactivated => false,
        };
        if is_half_made {
            restore(cloud, id).await?;
        }
    }
    Ok(())
}

/// Lets an image that was being filled wait for its data again.
async fn restore(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    let restored = change_record(cloud, id, |image| {
        let spec = &mut image.spec;
        if spec.data.is_none() {
            spec.state = ImageState::Queued;
            spec.staged = None;
            spec.task = None;
        }
        Ok(())
    });
    match restored.await {
        // It was removed meanwhile.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        restored => drop(restored?),
    }
    crate::image::collect(cloud.store.clone(), cloud.images.clone()).await;
    Ok(())
}

/// The record, or what would be in it.
fn record(cloud: &Cloud, id: Id) -> Option<Arc<RegisteredImage>> {
    let found = cloud.store.get::<RegisteredImage>(id);
    found
        .map(|found| found.value)
        .or_else(|| derived::get(cloud, id))
}

/// Changes an image's record, again where somebody else changed it meanwhile; an image without one
/// gets it.
async fn change_record(
    cloud: &Cloud,
    id: Id,
    mut change: impl FnMut(&mut RegisteredImage) -> Result<(), ActionError>,
) -> Result<Arc<RegisteredImage>, ActionError> {
    change_counted(cloud, id, |image, _| change(image)).await
}

/// As [`change_record`], with what makes it count in the same batch.
async fn change_counted(
    cloud: &Cloud,
    id: Id,
    mut change: impl FnMut(&mut RegisteredImage, &mut store::Transaction) -> Result<(), ActionError>,
) -> Result<Arc<RegisteredImage>, ActionError> {
    loop {
        let found = cloud.store.get::<RegisteredImage>(id);
        let current = match &found {
            Some(found) => Arc::clone(&found.value),
            None => derived::get(cloud, id).ok_or_else(|| not_found(id))?,
        };
        let mut image = RegisteredImage::clone(&current);
        let mut transaction = cloud.store.transaction();
        change(&mut image, &mut transaction)?;
        if image == *current {
            return Ok(current);
        }
        image.meta.name = image.spec.name.clone().unwrap_or_default();
        image.meta.generation += 1;
        image.meta.updated_at = Some(cloud.now());
        match &found {
            Some(found) => transaction.update(id, found.revision, image.clone()),
            None => transaction.insert(id, image.clone()),
        };
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(image));
            }
            Err(
                store::CommitError::Conflict { .. }
                | store::CommitError::NotFound { .. }
                | store::CommitError::Exists { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The image, for a caller who may do this to it.
fn owned(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    action: Action,
) -> Result<Arc<RegisteredImage>, ActionError> {
    let image = get(cloud, caller, id)?;
    caller.may(action, &Target::project(image.meta.project))?;
    Ok(image)
}

/// Whether the caller may know of an image.
fn is_there(caller: &Caller, image: &RegisteredImage) -> bool {
    sees(caller, image.meta.project)
        || match image.spec.visibility {
            Visibility::Public | Visibility::Community => true,
            Visibility::Shared => image.spec.members.contains_key(&caller.project()),
            Visibility::Private => false,
        }
}

fn sees(caller: &Caller, owner: ProjectId) -> bool {
    crate::is_seen(caller, owner)
}

/// Refuses the caller who may not show an image so widely.
fn may_show(caller: &Caller, owner: ProjectId, visibility: Visibility) -> Result<(), ActionError> {
    let target = Target::project(owner);
    match visibility {
        Visibility::Public => caller.may(Action::PublicizeImage, &target),
        Visibility::Community => caller.may(Action::CommunitizeImage, &target),
        Visibility::Private | Visibility::Shared => Ok(()),
    }
}

fn check_amounts(spec: &RegisteredImageSpec) -> Result<(), ActionError> {
    let exceeded = |of: &str, attempted: usize, most: usize| {
        ActionError::new(
            ErrorKind::QuotaExceeded,
            format!(
                "The limit has been exceeded on the number of allowed image {of}. Attempted: {attempted}, Maximum: {most}"
            ),
        )
    };
    if spec.properties.len() > MOST_PROPERTIES {
        return Err(exceeded(
            "properties",
            spec.properties.len(),
            MOST_PROPERTIES,
        ));
    }
    if spec.tags.len() > MOST_TAGS {
        return Err(exceeded("tags", spec.tags.len(), MOST_TAGS));
    }
    Ok(())
}

/// The wrapping of an image that gets its data; its formats must be known by then.
fn wrapping(spec: &RegisteredImageSpec) -> Result<Wrapping, ActionError> {
    match (spec.wrapping, spec.format) {
        (Some(wrapping), Some(_)) => Ok(wrapping),
        _ => Err(invalid(
            "Properties disk_format, container_format must be set prior to saving data.",
        )),
    }
}

/// The refusal of a step that an image's state does not allow.
fn no_step(from: ImageState, to: ImageState) -> ActionError {
    conflict(format!(
        "Image status transition from {} to {} is not allowed",
        from.as_str(),
        to.as_str()
    ))
}

fn taken(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::AlreadyExists,
        format!("Image ID {id} already exists!"),
    )
}

fn not_found(id: Id) -> ActionError {
    ActionError::new(ErrorKind::NotFound, format!("No image found with ID {id}"))
}

fn forbidden(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Forbidden, message)
}

fn conflict(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Conflict, message)
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}

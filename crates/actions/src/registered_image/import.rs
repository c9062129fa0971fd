//! Imports: tasks that fill an image from what was staged, or from another server.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::image_task::{ImageTask, TaskState};
use model::registered_image::{ImageState, RegisteredImageSpec};
use model::{Id, Meta};
use serde_json::Value;

use super::data::{facts, fill, receive};
use super::quota::{self, Counted};
use super::{change_counted, change_record, conflict, get, owned, restore};
use crate::downloads::inside;
use crate::nodes::Archive;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// How long a task is remembered once it has ended, as in Glance's `task_time_to_live`.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(48);
/// How long an import may take altogether.
const ENDS_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// From where an image's data comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It was staged.
    Staged,
    /// It is at this address.
    Web(String),
}

/// Begins to import an image's data: answers the task that does, once it goes on.
///
/// `input` is what the front end shows of the task.
///
/// # Errors
/// [`ErrorKind::Conflict`] where the image has data, is imported already, has nothing staged or
/// something that is not wanted, or its formats are not said; [`ErrorKind::Invalid`] for an address
/// that may not be asked.
pub async fn import(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    origin: Origin,
    input: Value,
) -> Result<Arc<ImageTask>, ActionError> {
    let image = owned(cloud, caller, id, Action::ModifyImage)?;
    if let Origin::Web(uri) = &origin {
        cloud.downloads.check(uri)?;
    }
    let now = cloud.now();
    let task = ImageTask {
        meta: Meta::new("", caller.project(), now),
        image: id,
        user: caller.user,
        request_id: caller.request_id.clone(),
        input,
        state: TaskState::Processing,
        message: String::new(),
        expires_at: None,
    };
    let task_id = task.meta.id;
    check(&image.spec, &origin)?;
    let mut transaction = cloud.store.transaction();
    transaction.insert(task_id, task.clone());
    forget_expired(cloud, &mut transaction, now);
    durable(cloud.commit(transaction).await?.durable).await?;
    let mut staged = None;
    let begun = change_counted(cloud, id, |image, transaction| {
        if image.spec.state == ImageState::Queued {
            let project = image.meta.project;
            quota::claim(cloud, transaction, project, Counted::Uploading, 1)?;
        }
        check(&image.spec, &origin)?;
        staged = image.spec.staged.clone();
        image.spec.state = ImageState::Importing;
        image.spec.task = Some(task_id);
        image.spec.import_failed = false;
        Ok(())
    })
    .await;
    if let Err(error) = begun {
        end(cloud, task_id, Err(&error)).await?;
        return Err(error);
    }
    let (cloud, caller) = (cloud.clone(), caller.clone());
    drop(tokio::spawn(async move {
        let filled = async {
            let file = match origin {
                Origin::Staged => staged
                    .and_then(|file| cloud.images.kept(&facts(&file)))
                    .ok_or_else(|| conflict("What was staged is gone; stage it again."))?,
                Origin::Web(uri) => receive(&cloud, download(&cloud, &uri).await?).await?,
            };
            fill(&cloud, &caller, id, ImageState::Importing, file).await
        };
        let filled = tokio::time::timeout(ENDS_WITHIN, filled).await;
        let filled = filled.unwrap_or_else(|_| {
            Err(ActionError::new(
                ErrorKind::TimedOut,
                "the import took too long",
            ))
        });
        if let Err(error) = finish(&cloud, id, task_id, filled).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                image = %id,
                "the end of an import could not be written"
            );
        }
    }));
    Ok(Arc::new(task))
}

/// What is at an address, of another machine beyond the cloud's own networks.
pub(crate) async fn download(cloud: &Cloud, uri: &str) -> Result<Archive, ActionError> {
    cloud.downloads.get(uri, &inside(cloud)).await
}

/// Refuses to import what is not as it must be.
fn check(spec: &RegisteredImageSpec, origin: &Origin) -> Result<(), ActionError> {
    let refusal = match spec.state {
        ImageState::Active | ImageState::Deactivated => {
            Some("Image with status active cannot be target for import")
        }
        ImageState::Importing => Some("Image has active task"),
        _ if *origin == Origin::Staged && spec.staged.is_none() => {
            Some("Image needs to be staged before 'glance-direct' method can be used")
        }
        ImageState::Uploading | ImageState::Saving if *origin != Origin::Staged => {
            Some("Image needs to be in 'queued' state to use 'web-download' method")
        }
        _ if spec.wrapping.is_none() => Some("'container_format' needs to be set before import"),
        _ if spec.format.is_none() => Some("'disk_format' needs to be set before import"),
        _ => None,
    };
    refusal.map_or(Ok(()), |refusal| Err(conflict(refusal)))
}

/// Writes down how an import ended.
async fn finish(
    cloud: &Cloud,
    id: Id,
    task: Id,
    filled: Result<(), ActionError>,
) -> Result<(), ActionError> {
    if filled.is_err() {
        let marked = change_record(cloud, id, |image| {
            image.spec.import_failed = image.spec.task == Some(task);
            Ok(())
        });
        // Whether it was removed meanwhile or not, the task is told.
        drop(marked.await);
        restore(cloud, id).await?;
    }
    end(cloud, task, filled.as_ref().copied()).await
}

async fn end(cloud: &Cloud, id: Id, filled: Result<(), &ActionError>) -> Result<(), ActionError> {
    let Some(found) = cloud.store.get::<ImageTask>(id) else {
        return Ok(());
    };
    let mut task = ImageTask::clone(&found.value);
    let now = cloud.now();
    task.meta.updated_at = Some(now);
    task.expires_at = now.checked_add(REMEMBERED).ok();
    match filled {
        Ok(()) => task.state = TaskState::Success,
        Err(error) => {
            task.state = TaskState::Failure;
            task.message.clone_from(&error.message);
        }
    }
    let mut transaction = cloud.store.transaction();
    transaction.put(id, task);
    durable(cloud.commit(transaction).await?.durable).await
}

/// Adds to a batch what forgets tasks that ended long ago.
fn forget_expired(cloud: &Cloud, transaction: &mut store::Transaction, now: Timestamp) {
    for (id, found) in cloud.store.list::<ImageTask>() {
        if found.value.expires_at.is_some_and(|expires| expires < now) {
            transaction.delete::<ImageTask>(id, None);
        }
    }
}

/// Ends the tasks that went on when the daemon died.
pub(super) async fn recover(cloud: &Cloud) -> Result<(), ActionError> {
    for (id, found) in cloud.store.list::<ImageTask>() {
        if found.value.state == TaskState::Processing {
            let error = conflict("The import was interrupted.");
            end(cloud, id, Err(&error)).await?;
        }
    }
    Ok(())
}

/// The tasks of an image, the newest first.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the image is not there for the caller.
pub fn of_image(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
) -> Result<Vec<Arc<ImageTask>>, ActionError> {
    get(cloud, caller, image)?;
    let mut tasks = all(cloud);
    tasks.retain(|task| task.image == image);
    Ok(tasks)
}

/// Every task, the newest first: for admins.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<ImageTask>>, ActionError> {
    caller.may(Action::AccessImageTasks, &Target::SYSTEM)?;
    Ok(all(cloud))
}

/// One task: for admins.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn show(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<ImageTask>, ActionError> {
    caller.may(Action::AccessImageTasks, &Target::SYSTEM)?;
    let found = cloud.store.get::<ImageTask>(id);
    found
        .map(|found| found.value)
        .ok_or_else(|| ActionError::new(ErrorKind::NotFound, format!("No task found with ID {id}")))
}

fn all(cloud: &Cloud) -> Vec<Arc<ImageTask>> {
    let tasks = cloud.store.list::<ImageTask>().into_iter();
    let mut tasks: Vec<_> = tasks.map(|(_, found)| found.value).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.meta.created_at));
    tasks
}

//! Images of the content store: what there is, and bringing in, naming and removing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::image::{ImportOptions, LookupError, Progress, RemoveError, Use};
pub use ::image::{Loaded, Removed};
use bytes::Bytes;
use model::event::{Action, Event, Subject};
use model::image::{Defaults, Image};
use model::instance::{Instance, InstanceStatus, Phase};

use crate::nodes::Archive;
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// What an imported image is to be.
#[derive(Clone, Debug, Default)]
pub struct NewImport {
    /// The name it gets: `name[:tag]`.
    pub reference: Option<String>,
    /// A remark, kept as its comment.
    pub message: String,
    /// Instructions of a Dockerfile that change what containers start with, one a line.
    pub changes: Vec<String>,
    /// `os[/architecture[/variant]]`; this node's where missing.
    pub platform: Option<String>,
}

/// Every image, the newest first.
#[must_use]
pub fn list(cloud: &Cloud, _caller: &Caller) -> Vec<Arc<Image>> {
    cloud.images.list()
}

/// The image of this name, digest, id or beginning of an id.
///
/// # Errors
/// [`ErrorKind::NotFound`], or [`ErrorKind::Invalid`] when it is not a reference.
pub fn get(cloud: &Cloud, _caller: &Caller, reference: &str) -> Result<Arc<Image>, ActionError> {
    Ok(cloud.images.get(reference)?)
}

/// An image's configuration document, byte for byte.
///
/// # Errors
/// As [`get`].
pub fn config_json(cloud: &Cloud, caller: &Caller, reference: &str) -> Result<Bytes, ActionError> {
    let image = get(cloud, caller, reference)?;
    Ok(cloud.images.config_json(&image.id)?)
}

/// Loads every image of an archive: all of them, or none.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it is not an archive of images or is damaged.
pub async fn load(
    cloud: &Cloud,
    caller: &Caller,
    archive: Archive,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Vec<Loaded>, ActionError> {
    let loaded = cloud
        .images
        .load(archive, progress)
        .await
        .map_err(|error| ActionError::new(ErrorKind::Invalid, with_causes(&error)))?;
    for image in &loaded {
        tell(
            cloud,
            caller,
            &image.id,
            image.reference.as_deref(),
            Action::Loaded,
        );
    }
    Ok(loaded)
}

/// A tar archive of images, by name or id.
///
/// # Errors
/// As [`get`].
pub async fn save(
    cloud: &Cloud,
    caller: &Caller,
    names: &[String],
) -> Result<Archive, ActionError> {
    for name in names {
        let image = get(cloud, caller, name)?;
        tell(cloud, caller, &image.id, Some(name), Action::Saved);
    }
    let archive = cloud
        .images
        .save(names)
        .await
        .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))?;
    Ok(Box::new(archive))
}

/// Makes an image of one layer from the tar of a root file system.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the name, a change or the tar is wrong.
pub async fn import(
    cloud: &Cloud,
    caller: &Caller,
    archive: Archive,
    new: NewImport,
) -> Result<Arc<Image>, ActionError> {
    let mut defaults = Defaults::default();
    ::image::changes::apply(&new.changes, &mut defaults)
        .map_err(|error| ActionError::new(ErrorKind::Invalid, error.to_string()))?;
    let options = ImportOptions {
        reference: new.reference.clone(),
        message: new.message,
        defaults,
        platform: new.platform,
    };
    let image = cloud
        .images
        .import(archive, options)
        .await
        .map_err(|error| ActionError::new(ErrorKind::Invalid, with_causes(&error)))?;
    tell(
        cloud,
        caller,
        &image.id,
        new.reference.as_deref(),
        Action::Imported,
    );
    Ok(image)
}

/// Gives an image a further name.
///
/// # Errors
/// As [`get`].
pub fn tag(cloud: &Cloud, caller: &Caller, source: &str, target: &str) -> Result<(), ActionError> {
    let image = get(cloud, caller, source)?;
    cloud.images.tag(&image.id, target).map_err(|error| {
        let kind = match &error {
            ::image::TagError::Source(lookup) => kind_of(lookup),
            ::image::TagError::Target(_) => ErrorKind::Invalid,
            ::image::TagError::Write(_) => ErrorKind::Internal,
        };
        ActionError::new(kind, with_causes(&error))
    })?;
    tell(cloud, caller, &image.id, Some(target), Action::Tagged);
    Ok(())
}

/// Removes a name, and with the last one the image.
///
/// # Errors
/// [`ErrorKind::Conflict`] when an instance uses it.
pub fn remove(
    cloud: &Cloud,
    caller: &Caller,
    reference: &str,
    force: bool,
    prune: bool,
) -> Result<Vec<Removed>, ActionError> {
    let image = get(cloud, caller, reference)?;
    let removed = cloud
        .images
        .remove(reference, force, prune, &|id| user_of(cloud, id))
        .map_err(|error| match error {
            RemoveError::Lookup(lookup) => lookup.into(),
            RemoveError::Conflict(_) => ActionError::new(ErrorKind::Conflict, error.to_string()),
            RemoveError::Write(_) => ActionError::new(ErrorKind::Internal, with_causes(&error)),
        })?;
    for what in &removed {
        let (name, action) = match what {
            Removed::Untagged(_) => (&image.id, Action::Untagged),
            Removed::Deleted(id) => (id, Action::Deleted),
        };
        tell(cloud, caller, name, Some(name), action);
    }
    Ok(removed)
}

/// Frees what removed images left behind because instances used them, where none does any more.
///
/// # Errors
/// [`ErrorKind::Internal`] when the disk refuses.
pub fn collect(cloud: &Cloud) -> Result<(), ActionError> {
    cloud
        .images
        .collect(&|id| user_of(cloud, id))
        .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))
}

/// An instance that uses an image; one that runs where there is one.
fn user_of(cloud: &Cloud, image: &str) -> Option<Use> {
    let mut found = None;
    for (id, instance) in cloud.store.list::<Instance>() {
        if !instance
            .value
            .spec
            .containers
            .iter()
            .any(|container| container.image_id == image)
        {
            continue;
        }
        let status = cloud.store.get::<InstanceStatus>(id);
        let running = status
            .is_some_and(|status| matches!(status.value.phase, Phase::Running | Phase::Paused));
        found = Some(Use {
            container: id.simple(),
            running,
        });
        if running {
            break;
        }
    }
    found
}

fn tell(cloud: &Cloud, caller: &Caller, id: &str, name: Option<&str>, action: Action) {
    let name = name.unwrap_or(id);
    cloud.observer.tell(Event {
        at: cloud.now(),
        project: caller.project.clone(),
        subject: Subject::Image,
        id: id.to_owned(),
        action,
        attributes: BTreeMap::from([("name".to_owned(), name.to_owned())]),
    });
}

fn kind_of(error: &LookupError) -> ErrorKind {
    match error {
        LookupError::NotFound { .. } => ErrorKind::NotFound,
        LookupError::Ambiguous { .. } | LookupError::InvalidReference { .. } => ErrorKind::Invalid,
    }
}

impl From<LookupError> for ActionError {
    fn from(error: LookupError) -> Self {
        Self::new(kind_of(&error), error.to_string())
    }
}

/// The message of an error and of all that led to it: the user has no log to look into.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

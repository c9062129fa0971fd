//! Images of the content store: what there is, and bringing in, naming and removing them.
//!
//! The store, with all names in it, is the operator's: whoever acts in another project sees images
//! through what Glance's records say of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::image::{ImportOptions, InUse, LookupError, Progress, RemoveError, SaveError, Use};
pub use ::image::{Loaded, Removed};
use bytes::Bytes;
use model::ProjectId;
use model::event::{Action, Event, Subject};
use model::image::{Defaults, Image};
use model::instance::{Instance, InstanceStatus, Phase};
use model::registered_image::RegisteredImage;
use tokio::sync::broadcast;

use crate::error::with_causes;
use crate::nodes::Archive;
use crate::policy::{self, Target};
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
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Image>> {
    if !caller.reads(policy::Action::ListImages, ProjectId::ADMIN) {
        return Vec::new();
    }
    cloud.images.list()
}

/// The image of this name, digest, id or beginning of an id.
///
/// # Errors
/// [`ErrorKind::NotFound`], or [`ErrorKind::Invalid`] when it is not a reference.
pub fn get(cloud: &Cloud, caller: &Caller, reference: &str) -> Result<Arc<Image>, ActionError> {
    caller.may(policy::Action::GetImage, &Target::OPERATOR)?;
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
/// [`ErrorKind::Invalid`] when it is not an archive of images or is damaged;
/// [`ErrorKind::Internal`] when the disk is full or fails.
pub async fn load(
    cloud: &Cloud,
    caller: &Caller,
    archive: Archive,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<Vec<Loaded>, ActionError> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    let loaded = cloud
        .images
        .load(archive, progress)
        .await
        .map_err(|error| refused(error.is_hosts(), &error))?;
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
    caller.may(policy::Action::DownloadImage, &Target::OPERATOR)?;
    let archive = cloud.images.save(names).await.map_err(|error| {
        let kind = match error {
            SaveError::Lookup(_) => ErrorKind::NotFound,
            SaveError::Nothing => ErrorKind::Invalid,
        };
        ActionError::new(kind, with_causes(&error))
    })?;
    for name in names {
        // A repository's name is no image's.
        if let Ok(image) = get(cloud, caller, name) {
            tell(cloud, caller, &image.id, Some(name), Action::Saved);
        }
    }
    Ok(Box::new(archive))
}

/// Makes an image of one layer from the tar of a root file system.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the name, a change or the tar is wrong;
/// [`ErrorKind::Internal`] when the disk is full or fails.
pub async fn import(
    cloud: &Cloud,
    caller: &Caller,
    archive: Archive,
    new: NewImport,
) -> Result<Arc<Image>, ActionError> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    let mut defaults = Defaults::default();
    ::image::changes::apply(&new.changes, &mut defaults)
        .map_err(|error| ActionError::new(ErrorKind::Invalid, error.to_string()))?;
    let options = ImportOptions {
        reference: new.reference.clone(),
        message: new.message,
        defaults,
        platform: new.platform,
        hidden: false,
    };
    let image = cloud
        .images
        .import(archive, options)
        .await
        .map_err(|error| refused(error.is_hosts(), &error))?;
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
pub async fn tag(
    cloud: &Cloud,
    caller: &Caller,
    source: &str,
    target: &str,
) -> Result<(), ActionError> {
    caller.may(policy::Action::ModifyImage, &Target::OPERATOR)?;
    let image = get(cloud, caller, source)?;
    let target = target.to_owned();
    on_thread(cloud, caller, move |cloud, caller| {
        cloud.images.tag(&image.id, &target).map_err(|error| {
            let kind = match &error {
                ::image::TagError::Source(lookup) => kind_of(lookup),
                ::image::TagError::Target(_) => ErrorKind::Invalid,
                ::image::TagError::Write(_) => ErrorKind::Internal,
            };
            ActionError::new(kind, with_causes(&error))
        })?;
        tell(cloud, caller, &image.id, Some(&target), Action::Tagged);
        Ok(())
    })
    .await
}

/// Removes a name, and with the last one the image.
///
/// # Errors
/// [`ErrorKind::Conflict`] when an instance uses it.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    reference: &str,
    force: bool,
    prune: bool,
) -> Result<Vec<Removed>, ActionError> {
    caller.may(policy::Action::DeleteImage, &Target::OPERATOR)?;
    let image = get(cloud, caller, reference)?;
    let reference = reference.to_owned();
    on_thread(cloud, caller, move |cloud, caller| {
        let in_use = |id: &str| user_of(&cloud.store, id);
        let removed = cloud
            .images
            .remove(&reference, force, prune, &in_use)
            .map_err(|error| match error {
                RemoveError::Lookup(lookup) => lookup.into(),
                RemoveError::Conflict(_) => {
                    ActionError::new(ErrorKind::Conflict, error.to_string())
                }
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
    })
    .await
}

/// Changes the image store on a thread that may wait for the disk, to the end even when the caller
/// goes away.
pub(crate) async fn on_thread<T: Send + 'static>(
    cloud: &Cloud,
    caller: &Caller,
    change: impl FnOnce(&Cloud, &Caller) -> T + Send + 'static,
) -> T {
    let (cloud, caller) = (cloud.clone(), caller.clone());
    match tokio::task::spawn_blocking(move || change(&cloud, &caller)).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Frees what nothing needs any more, though it was not removed at once because something used it:
/// now, and whenever an instance goes. Ends with the last sender of the events.
pub(crate) async fn collect_unused(
    store: store::Store,
    images: ::image::Store,
    mut events: broadcast::Receiver<Arc<Event>>,
) {
    loop {
        collect(store.clone(), images.clone()).await;
        loop {
            match events.recv().await {
                Ok(event) if is_instances_end(&event) => break,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

/// Frees what is not listed and that nothing uses any more.
pub(crate) async fn collect(store: store::Store, images: ::image::Store) {
    let collecting = tokio::task::spawn_blocking(move || {
        images.collect(&|| in_use(&store)).map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what removed images left is not freed; the next removal tries again"
            );
        })
    });
    // Only a panic, or the end of the process, is left; the log has the former.
    drop(collecting.await);
}

/// What is needed by instances and registered images.
pub(crate) fn in_use(store: &store::Store) -> InUse {
    let mut needed = InUse::default();
    for (_, instance) in store.list::<Instance>() {
        let containers = instance.value.spec.containers.iter();
        needed
            .images
            .extend(containers.flat_map(|container| container.images().map(str::to_owned)));
    }
    for (_, image) in store.list::<RegisteredImage>() {
        let spec = &image.value.spec;
        let data = spec.data.iter();
        needed
            .images
            .extend(data.clone().filter_map(|data| data.content.clone()));
        let files = data.filter_map(|data| data.file.as_ref());
        needed
            .files
            .extend(files.chain(&spec.staged).map(|file| file.id.clone()));
    }
    needed
}

fn is_instances_end(event: &Event) -> bool {
    event.subject == Subject::Instance && event.action == Action::Deleted
}

/// What uses an image: an instance, one that runs where there is one, or a registered image.
fn user_of(store: &store::Store, image: &str) -> Option<Use> {
    let mut found = None;
    for (id, instance) in store.list::<Instance>() {
        if !instance
            .value
            .spec
            .containers
            .iter()
            .any(|container| container.images().any(|used| used == image))
        {
            continue;
        }
        let status = store.get::<InstanceStatus>(id);
        let running = status
            .is_some_and(|status| matches!(status.value.phase, Phase::Running | Phase::Paused));
        found = Some(Use::Container {
            id: id.simple(),
            running,
        });
        if running {
            break;
        }
    }
    found.or_else(|| {
        let registered = store.list::<RegisteredImage>();
        let is_kept = registered
            .iter()
            .any(|(_, found)| found.value.spec.content() == Some(image));
        is_kept.then_some(Use::Kept)
    })
}

pub(crate) fn tell(cloud: &Cloud, caller: &Caller, id: &str, name: Option<&str>, action: Action) {
    let name = name.unwrap_or(id);
    cloud.observer.tell(Event {
        at: cloud.now(),
        project: caller.project(),
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

/// An error of the host, or of what was sent.
fn refused(is_hosts: bool, error: &dyn std::error::Error) -> ActionError {
    let kind = if is_hosts {
        ErrorKind::Internal
    } else {
        ErrorKind::Invalid
    };
    ActionError::new(kind, with_causes(error))
}

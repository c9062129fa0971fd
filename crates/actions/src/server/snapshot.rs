//! Makes images of servers: when asked, as one of a row of backups, and of those that are put away.

use std::collections::BTreeMap;

use model::Id;
use model::container::ContainerSpec;
use model::image::Defaults;
use model::registered_image::{RegisteredImage, Visibility};
use model::server::{Server, Task};

use super::task::{Doing, Outcome, begin, carry_out, or_end};
use super::{State, View, steward, volumes};
use crate::commit::NewCommit;
use crate::policy::Action;
use crate::registered_image::{self, NewImage};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// States in which an image can be made.
const STATES: &[State] = &[
    State::Active,
    State::Stopped,
    State::Paused,
    State::Suspended,
];
/// The property with what an image of a server is: a snapshot, or a backup.
const TYPE: &str = "image_type";
/// The property with the server that an image was made of.
const SERVER: &str = "instance_uuid";
/// The property with the row that a backup is in.
const BACKUP_TYPE: &str = "backup_type";

/// An image to make of a server.
#[derive(Clone, Debug, Default)]
pub struct NewSnapshot {
    /// What it is called.
    pub name: String,
    /// What is said of it, beside what is said of the server's own image.
    pub properties: BTreeMap<String, String>,
}

/// The row of backups that an image is to be the newest of.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, such as `daily`.
    pub name: String,
    /// Most images in it: the oldest go.
    pub most: usize,
}

/// Makes an image of a server, which is held still meanwhile: answers with its identity at once.
///
/// # Errors
/// [`ErrorKind::Conflict`] in a state in which it cannot be, and what keeping it says.
pub async fn snapshot(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewSnapshot,
) -> Result<Id, ActionError> {
    let imaging = Doing {
        action: Action::CommitInstance,
        name: "createImage",
        task: Some(Task::Imaging),
        states: STATES,
    };
    let view = begin(cloud, caller, id, &imaging).await?;
    let acting = steward(&view.server, &caller.request_id);
    let made = make(cloud, &acting, &view, new).await;
    let (image, filling) = or_end(cloud, id, made).await?;
    carry_out(cloud, id, async move {
        filling.await?;
        Ok(Outcome::Unchanged)
    });
    Ok(image)
}

/// As [`snapshot`], for the newest of a row of backups, whose oldest then go.
///
/// # Errors
/// As [`snapshot`].
pub async fn back_up(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    mut new: NewSnapshot,
    row: Row,
) -> Result<Id, ActionError> {
    let imaging = Doing {
        action: Action::CommitInstance,
        name: "createBackup",
        task: Some(Task::Imaging),
        states: STATES,
    };
    let view = begin(cloud, caller, id, &imaging).await?;
    let acting = steward(&view.server, &caller.request_id);
    let own = [(TYPE, "backup"), (BACKUP_TYPE, &row.name)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    new.properties.extend(own);
    let made = make(cloud, &acting, &view, new).await;
    let (image, filling) = or_end(cloud, id, made).await?;
    let behind = cloud.clone();
    carry_out(cloud, id, async move {
        filling.await?;
        for oldest in surplus(&behind, &acting, id, &row)? {
            discard(&behind, &acting, oldest).await;
        }
        Ok(Outcome::Unchanged)
    });
    Ok(image)
}

/// The backups of a row that are too many.
fn surplus(cloud: &Cloud, acting: &Caller, server: Id, row: &Row) -> Result<Vec<Id>, ActionError> {
    let server = server.to_string();
    let is_one = |image: &RegisteredImage| {
        let is = |name: &str, value: &str| {
            image.spec.properties.get(name).map(String::as_str) == Some(value)
        };
        image.meta.project == acting.project()
            && is(TYPE, "backup")
            && is(SERVER, &server)
            && is(BACKUP_TYPE, &row.name)
    };
    let mut all = registered_image::list(cloud, acting)?;
    all.retain(|image| is_one(image));
    all.sort_by_key(|image| std::cmp::Reverse(image.meta.created_at));
    Ok(all
        .iter()
        .skip(row.most)
        .map(|image| image.meta.id)
        .collect())
}

/// Registers an image of a server, and answers with what then fills it.
pub(super) async fn make(
    cloud: &Cloud,
    acting: &Caller,
    view: &View,
    new: NewSnapshot,
) -> Result<
    (
        Id,
        impl Future<Output = Result<(), ActionError>> + Send + use<>,
    ),
    ActionError,
> {
    let id = view.server.meta.id;
    let spec = &view.server.spec;
    let own = match spec.root_volume() {
        Some(root) => volumes::root_image(cloud, root),
        None => spec.image.as_ref().map(|image| image.id.clone()),
    };
    // One that Docker made has an image that need not be there any more.
    let mut properties = match spec.root_volume() {
        Some(_) => volumes::base(cloud, &view.server)?.properties,
        None => spec.image.clone().unwrap_or_default().properties,
    };
    properties.extend([
        (TYPE.to_owned(), "snapshot".to_owned()),
        (SERVER.to_owned(), id.to_string()),
        ("user_id".to_owned(), acting.user.simple()),
    ]);
    if let Some(image) = own {
        properties.insert("base_image_ref".to_owned(), image);
    }
    properties.extend(new.properties);
    let mut image = NewImage::default();
    image.spec.name = Some(new.name);
    image.spec.visibility = Visibility::Private;
    image.spec.properties = properties;
    let container = view
        .instance
        .as_ref()
        .and_then(|view| view.instance.spec.containers.first());
    let commit = NewCommit {
        pause: true,
        own: container.map(started_with).unwrap_or_default(),
        ..NewCommit::default()
    };
    let (made, filling) = registered_image::snapshot(cloud, acting, id, image, commit).await?;
    Ok((made.meta.id, filling))
}

/// Removes the image that kept a server while it was put away, where it had one.
pub(super) async fn forget(cloud: &Cloud, server: &Server) {
    if let Some(image) = server.shelved_as {
        discard(cloud, &steward(server, ""), image).await;
    }
}

/// Removes an image, which its owner may have done before, or protected.
async fn discard(cloud: &Cloud, acting: &Caller, image: Id) {
    match registered_image::remove(cloud, acting, image).await {
        Err(error) if error.kind != ErrorKind::NotFound => {
            tracing::warn!(
                %image,
                error = &error as &dyn std::error::Error,
                "an image of a server stays"
            );
        }
        _ => {}
    }
}

/// What a container was started with, which its image starts with, too.
fn started_with(container: &ContainerSpec) -> Defaults {
    let (entrypoint, command) = container.args.split_at(container.entrypoint_args);
    Defaults {
        user: container.user.clone(),
        env: container.env.clone(),
        entrypoint: entrypoint.to_vec(),
        command: command.to_vec(),
        working_dir: container.working_dir.clone(),
        stop_signal: container.stop_signal.clone(),
        ..Defaults::default()
    }
}

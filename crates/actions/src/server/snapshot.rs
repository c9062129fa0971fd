//! Makes images of servers.

use std::collections::BTreeMap;

use model::Id;
use model::container::ContainerSpec;
use model::image::Defaults;
use model::registered_image::Visibility;

use super::task::{Doing, begin};
use super::{State, steward};
use crate::commit::NewCommit;
use crate::policy::Action;
use crate::registered_image::{self, NewImage};
use crate::{ActionError, Caller, Cloud};

/// An image to make of a server.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// What it is called.
    pub name: String,
    /// What is said of it, beside what is said of the server's own image.
    pub properties: BTreeMap<String, String>,
}

/// Makes an image of a server, which is held still meanwhile: answers with its identity at once.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] in a state in which it cannot be, and what keeping it says.
pub async fn snapshot(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewSnapshot,
) -> Result<Id, ActionError> {
    let imaging = Doing {
        action: Action::CommitInstance,
        name: "createImage",
        task: None,
        states: &[
            State::Active,
            State::Stopped,
            State::Paused,
            State::Suspended,
        ],
    };
    let view = begin(cloud, caller, id, &imaging).await?;
    let acting = steward(&view.server, &caller.request_id);
    let own = view.server.spec.image.as_ref();
    let mut properties = own.map_or_else(BTreeMap::new, |image| image.properties.clone());
    properties.extend(new.properties);
    properties.extend([
        ("image_type".to_owned(), "snapshot".to_owned()),
        ("instance_uuid".to_owned(), id.to_string()),
        ("user_id".to_owned(), caller.user.simple()),
    ]);
    if let Some(image) = own {
        properties.insert("base_image_ref".to_owned(), image.id.clone());
    }
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
    let made = registered_image::snapshot(cloud, &acting, id, image, commit).await?;
    Ok(made.meta.id)
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

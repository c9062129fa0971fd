//! Volumes that a server gets and gives away once it is there: [`crate::volume_attachment`], where
//! the server's state and lock allow it.

use model::Id;

use super::State;
use super::task::{Doing, change_record, check, note_done};
use crate::policy::Action;
use crate::volume_attachment::{self, Attachment, NewAttachment};
use crate::{ActionError, Caller, Cloud};

/// States in which a server's volumes can change.
///
/// Source: Nova, `compute/api.py`, `attach_volume` and `detach_volume`.
const CHANGEABLE: &[State] = &[
    State::Active,
    State::Paused,
    State::Stopped,
    State::Resized,
    State::Offloaded,
];

/// Attaches a volume to a server; a running one has it mounted when this answers.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] for a locked server and in a state in which it cannot be, else as
/// [`volume_attachment::attach`].
pub async fn attach_volume(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewAttachment,
) -> Result<Attachment, ActionError> {
    let attaching = changing("attach_volume", Action::AttachServerVolume);
    check(cloud, caller, id, &attaching)?;
    let made = volume_attachment::attach(cloud, caller, id, new).await?;
    remember(cloud, caller, id, &attaching).await?;
    Ok(made)
}

/// Detaches a volume from a server; a running one has it unmounted when this answers.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] for a locked server and in a state in which it cannot be, else as
/// [`volume_attachment::detach`].
pub async fn detach_volume(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    volume: Id,
) -> Result<(), ActionError> {
    let detaching = changing("detach_volume", Action::DetachServerVolume);
    check(cloud, caller, id, &detaching)?;
    volume_attachment::detach(cloud, caller, id, volume).await?;
    remember(cloud, caller, id, &detaching).await
}

fn changing(name: &'static str, action: Action) -> Doing {
    Doing {
        action,
        name,
        task: None,
        states: CHANGEABLE,
    }
}

async fn remember(cloud: &Cloud, caller: &Caller, id: Id, done: &Doing) -> Result<(), ActionError> {
    let now = cloud.now();
    let (_, ticket) = change_record(cloud, id, |server| {
        note_done(server, caller, done.name, now);
        Ok(())
    })
    .await?;
    crate::durable(ticket).await
}

//! What happens, told to whoever listens.

use std::sync::Arc;

use model::ProjectId;
use model::event::Event;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What happens in one project from now on.
#[derive(Debug)]
pub struct Live {
    every: broadcast::Receiver<Arc<Event>>,
    project: ProjectId,
}

impl Live {
    /// The next event.
    ///
    /// # Errors
    /// When some were missed, because they were read too slowly, and at the end.
    pub async fn recv(&mut self) -> Result<Arc<Event>, RecvError> {
        loop {
            let event = self.every.recv().await?;
            if event.project == self.project {
                return Ok(event);
            }
        }
    }
}

/// What has happened lately in the caller's project, the oldest first, and what happens from now
/// on; no event is missing between the two, and none is in both.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] for somebody who may not read.
pub fn subscribe(cloud: &Cloud, caller: &Caller) -> Result<(Vec<Arc<Event>>, Live), ActionError> {
    let project = caller.project();
    caller.may(Action::ListEvents, &Target::project(project))?;
    let (mut past, every) = cloud.observer.subscribe();
    past.retain(|event| event.project == project);
    Ok((past, Live { every, project }))
}

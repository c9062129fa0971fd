//! What happens, told to whoever listens.

use std::sync::Arc;

use model::event::Event;
use tokio::sync::broadcast;

use crate::{Caller, Cloud};

/// What has happened lately, the oldest first, and what happens from now on; no event is missing
/// between the two, and none is in both.
///
/// The live part carries every project's events: hand on only those of the caller's project.
#[must_use]
pub fn subscribe(
    cloud: &Cloud,
    caller: &Caller,
) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
    let (mut past, live) = cloud.observer.subscribe();
    past.retain(|event| event.project == caller.project());
    (past, live)
}

//! What happened on the node and was not written down yet.
//!
//! The engine tells of it at any moment; the instance's own reconciler writes it, so that an
//! instance has one writer. Nothing here survives the process: a new agent asks the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Engine, FoundState, Happening};
use model::Id;
use model::instance::{Exit, Failure, Health, Run};
use store::runner::Wishes;
use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// What happened and was not written down yet.
#[derive(Default)]
pub(crate) struct Sightings {
    exits: Mutex<HashMap<Id, (Run, Exit)>>,
    health: Mutex<HashMap<Id, Health>>,
    exited: Notify,
}

impl Sightings {
    /// Takes the newest exit of an instance.
    pub(crate) fn take_exit(&self, id: Id) -> Option<(Run, Exit)> {
        lock(&self.exits).remove(&id)
    }

    /// Puts back an exit that could not be written down.
    pub(crate) fn put_back_exit(&self, id: Id, run: Run, exit: Exit) {
        lock(&self.exits).entry(id).or_insert((run, exit));
    }

    /// Takes the newest health of an instance.
    pub(crate) fn take_health(&self, id: Id) -> Option<Health> {
        lock(&self.health).remove(&id)
    }

    /// Forgets all about an instance.
    pub(crate) fn forget(&self, id: Id) {
        lock(&self.exits).remove(&id);
        lock(&self.health).remove(&id);
    }

    /// Waits until an exit of an instance was seen.
    pub(crate) async fn exit_of(&self, id: Id) {
        loop {
            let mut exited = std::pin::pin!(self.exited.notified());
            exited.as_mut().enable();
            if lock(&self.exits).contains_key(&id) {
                return;
            }
            exited.await;
        }
    }

    fn saw_exit(&self, id: Id, run: Run, exit: Exit) {
        let mut exits = lock(&self.exits);
        if exits.get(&id).is_none_or(|(known, _)| *known <= run) {
            exits.insert(id, (run, exit));
        }
        drop(exits);
        self.exited.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to the engine for as long as the agent lives.
pub(crate) async fn listen(
    engine: Arc<dyn Engine>,
    mut happenings: Receiver<Happening>,
    sightings: Arc<Sightings>,
    wishes: Wishes,
) {
    loop {
        match happenings.recv().await {
            Ok(Happening::Exited(id, run, exit)) => {
                sightings.saw_exit(id, run, exit);
                wishes.look_at(id);
            }
            Ok(Happening::Health(id, health)) => {
                lock(&sightings.health).insert(id, health);
                wishes.look_at(id);
            }
            // Told as events by those who show them; the records know them by the exit.
            Ok(Happening::OutOfMemory(_) | Happening::Signal(..) | Happening::Exec(..)) => {}
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(
                    count,
                    "happenings were missed; the engine is asked what there is"
                );
                match look_again(&*engine, &sightings).await {
                    Ok(exited) => exited.into_iter().for_each(|id| wishes.look_at(id)),
                    Err(error) => tracing::error!(%error, "the engine does not say what there is"),
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Asks the engine for exits that were not told, and answers whose they are.
pub(crate) async fn look_again(
    engine: &dyn Engine,
    sightings: &Sightings,
) -> Result<Vec<Id>, Failure> {
    let mut exited = Vec::new();
    for found in engine.found().await? {
        if let FoundState::Exited(exit) = found.state {
            sightings.saw_exit(found.id, found.run, exit);
            exited.push(found.id);
        }
    }
    Ok(exited)
}

//! Tells when an instance ends.

use model::Id;
use model::instance::{Exit, Instance, Phase, Run};

use super::get;
use super::run::newest;
use crate::{ActionError, Caller, Cloud};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// It does not run; true at once for one that does not.
    NotRunning,
    /// It ends once from now on.
    NextExit,
    /// It is gone.
    Removed,
}

/// Begins to wait; nothing that happens after this returns is missed.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`]; from the future also a failure of the removal that is waited for.
pub fn wait(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    what: WaitFor,
) -> Result<impl Future<Output = Result<Exit, ActionError>> + Send + use<>, ActionError> {
    let view = get(cloud, caller, id)?;
    let before: (Run, Option<Exit>) = (view.status.run, view.status.exit.clone());
    let waiter = cloud.observer.waiter(id);
    let cloud = cloud.clone();
    Ok(async move {
        let mut exit = before.1.clone();
        waiter
            .until(|| {
                let is_gone = cloud.store.get::<Instance>(id).is_none();
                let Some(status) = newest(&cloud, id, waiter.last()) else {
                    return Some(());
                };
                if let Some(seen) = waiter
                    .last()
                    .filter(|_| is_gone)
                    .and_then(|last| last.exit.clone())
                {
                    exit = Some(seen);
                } else if status.exit.is_some() {
                    exit.clone_from(&status.exit);
                }
                let is_up = matches!(status.phase, Phase::Running | Phase::Paused);
                let ended_since =
                    exit.is_some() && (exit != before.1 || status.run > before.0 && !is_up);
                let is_over = match what {
                    WaitFor::NotRunning => !is_up || ended_since || is_gone,
                    WaitFor::NextExit => ended_since || is_gone,
                    WaitFor::Removed => is_gone,
                };
                is_over.then_some(())
            })
            .await;
        // One that never ran has no exit: it counts as ended well, as with dockerd.
        Ok(exit.unwrap_or_else(|| Exit {
            code: 0,
            oom_killed: false,
            at: cloud.now(),
        }))
    })
}

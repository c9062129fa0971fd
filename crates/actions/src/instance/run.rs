//! Starts, stops, freezes and signals an instance: writes what is wanted, then waits for the node.

use std::time::Duration;

use model::Id;
use model::event::Action;
use model::instance::{Instance, InstanceStatus, Phase, Placement, StopRequest};

use super::{View, allowed, missing};
use crate::observer::instance_event;
use crate::policy;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// How long a start, a freeze or a change may take before its caller is told that it did not
/// answer. A stop has its own time.
const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(120);
/// How long a node may take to make a new instance before it is asked about it all the same.
const NODE_MAKES_WITHIN: Duration = Duration::from_secs(10);
/// What a stop may take beyond the time that the process is given.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Seconds that a process is given to stop when nobody says otherwise.
const DEFAULT_STOP_SECS: i64 = 10;

/// Starts an instance. Answers warnings once its program is executed.
///
/// # Errors
/// [`ErrorKind::NotModified`] when it runs already; what the node says when it cannot start.
pub async fn start(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<String>, ActionError> {
    let view = allowed(cloud, caller, policy::Action::StartInstance, id)?;
    match view.status.phase {
        Phase::Running => return Err(ActionError::new(ErrorKind::NotModified, "it runs already")),
        Phase::Paused => {
            return Err(ActionError::new(
                ErrorKind::Conflict,
                "cannot start a paused container, try unpause instead",
            ));
        }
        Phase::Created | Phase::Exited | Phase::Dead => {}
    }
    refuse_removal_in_progress(&view.instance)?;
    match begin_run(cloud, id).await? {
        Begun::Ours => Ok(Vec::new()),
        Begun::Already => Err(ActionError::new(ErrorKind::NotModified, "it runs already")),
    }
}

/// Who asked for the run that began.
#[derive(Clone, Copy)]
enum Begun {
    /// This caller.
    Ours,
    /// Someone else, whose start was under way.
    Already,
}

/// Asks for a new run, unless one is about to begin, and waits until it began, or failed to.
async fn begin_run(cloud: &Cloud, id: Id) -> Result<Begun, ActionError> {
    let waiter = cloud.observer.waiter(id);
    let ((epoch, who), ticket) = change_intent(cloud, id, |instance| {
        refuse_removal_in_progress(instance)?;
        let seen = cloud.store.get::<InstanceStatus>(id);
        let run = &mut instance.spec.run;
        if run.started && run.epoch > seen.map_or(0, |status| status.value.run.epoch) {
            return Ok((run.epoch, Begun::Already));
        }
        run.started = true;
        run.epoch += 1;
        run.paused = false;
        run.stop = None;
        run.stopped_by_user = false;
        run.again = false;
        Ok((run.epoch, Begun::Ours))
    })
    .await?;
    let begun = waiter.until(|| {
        // Looked at before the status, which is then no older: what ran and was removed at once
        // did begin.
        let removal = removal_of(cloud, id, waiter.is_gone());
        let Some(status) = newest(cloud, id, waiter.last()) else {
            return Some(Err(missing(id)));
        };
        if status.run.epoch > epoch
            || (status.run.epoch == epoch
                && status.phase != Phase::Created
                && status.error.is_none())
        {
            return Some(Ok(()));
        }
        if let Some(failure) = status.error.as_ref().filter(|_| status.run.epoch == epoch) {
            return Some(Err(failure.clone().into()));
        }
        if let Some(removal) = removal {
            return Some(Err(removal));
        }
        let placement = cloud.store.get::<Placement>(id)?.value;
        let reason = placement
            .reason
            .as_ref()
            .filter(|_| placement.epoch == epoch)?;
        Some(Err(reason.clone().into()))
    });
    // The flush to disk goes on while the node starts it.
    let (begun, flushed) = tokio::join!(within(NODE_ANSWERS_WITHIN, begun), durable(ticket));
    if let Err(error) = begun.and_then(|answer| answer) {
        if error.kind != ErrorKind::TimedOut {
            give_up_run(cloud, id, epoch).await;
        }
        return Err(error);
    }
    flushed.map(|()| who)
}

/// Why a run that did not begin never will, where the instance is gone or going.
fn removal_of(cloud: &Cloud, id: Id, is_gone: bool) -> Option<ActionError> {
    match cloud.store.get::<Instance>(id) {
        Some(found) => refuse_removal_in_progress(&found.value).err(),
        None => is_gone.then(|| missing(id)),
    }
}

/// Takes back a start that failed, so that nothing tries it again behind the user's back.
async fn give_up_run(cloud: &Cloud, id: Id, epoch: u64) {
    let taken_back = change_intent(cloud, id, |instance| {
        if instance.spec.run.epoch == epoch {
            instance.spec.run.started = false;
        }
        Ok(())
    })
    .await;
    if let Err(error) = taken_back {
        tracing::debug!(%id, %error, "a failed start could not be taken back");
    }
}

/// Stops an instance. Answers once its process has ended.
///
/// # Errors
/// [`ErrorKind::NotModified`] when it does not run.
pub async fn stop(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    how: StopRequest,
) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::StopInstance, id)?;
    if !view.is_up() && !view.is_restarting() {
        return Err(ActionError::new(ErrorKind::NotModified, "it does not run"));
    }
    end_run(cloud, &view, how, Then::Rest).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::Stopped));
    Ok(())
}

/// What follows the end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// Nothing; one that removes itself when it ends does.
    Rest,
    /// It runs again.
    RunAgain,
}

/// Asks for the end of a run and waits for it.
pub(super) async fn end_run(
    cloud: &Cloud,
    view: &View,
    how: StopRequest,
    then: Then,
) -> Result<(), ActionError> {
    let id = view.instance.meta.id;
    let container = view.instance.spec.containers.first();
    let secs = how
        .timeout_secs
        .or_else(|| container.and_then(|container| container.stop_timeout_secs))
        .unwrap_or(DEFAULT_STOP_SECS);
    let waiter = cloud.observer.waiter(id);
    let (epoch, ticket) = change_intent(cloud, id, |instance| {
        let run = &mut instance.spec.run;
        run.started = false;
        run.stopped_by_user = true;
        run.paused = false;
        run.stop = Some(how.clone());
        run.again = then == Then::RunAgain;
        Ok(run.epoch)
    })
    .await?;
    let ended = waiter.until(|| {
        let Some(status) = newest(cloud, id, waiter.last()) else {
            return Some(Ok(()));
        };
        let is_over =
            status.run.epoch > epoch || !matches!(status.phase, Phase::Running | Phase::Paused);
        match status.error.as_ref() {
            _ if is_over => Some(Ok(())),
            Some(failure) if status.run.epoch == epoch => Some(Err(failure.clone().into())),
            _ => None,
        }
    });
    let ended = async {
        match u64::try_from(secs) {
            Ok(secs) => within(Duration::from_secs(secs) + STOP_GRACE, ended).await?,
            Err(_) => ended.await,
        }
    };
    let (ended, flushed) = tokio::join!(ended, durable(ticket));
    ended.and(flushed)
}

/// Stops an instance where it runs, and starts it again.
///
/// # Errors
/// As [`start`] and [`stop`].
pub async fn restart(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    how: StopRequest,
) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::RebootInstance, id)?;
    refuse_removal_in_progress(&view.instance)?;
    let cloud = cloud.clone();
    // To its end, also where nobody waits any more: what was stopped is not left so.
    let restarted = tokio::spawn(async move {
        if view.is_up() || view.is_restarting() {
            let ended = end_run(&cloud, &view, how, Then::RunAgain).await;
            if ended.is_err() {
                give_up_restart(&cloud, id).await;
            }
            ended?;
            let stopped = instance_event(&view.instance, Action::Stopped);
            cloud.observer.tell(stopped);
        }
        begin_run(&cloud, id).await?;
        cloud
            .observer
            .tell(instance_event(&view.instance, Action::Restarted));
        Ok(())
    });
    restarted
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Takes back that an instance is to run again, so that one that removes itself does.
async fn give_up_restart(cloud: &Cloud, id: Id) {
    let taken_back = change_intent(cloud, id, |instance| {
        instance.spec.run.again = false;
        Ok(())
    });
    if let Err(error) = taken_back.await {
        tracing::debug!(%id, %error, "a failed restart could not be taken back");
    }
}

/// Sends a signal to process 1, by name or number; `None` is `KILL`.
///
/// A signal that ends it by the user's will keeps its restart policy from starting it again.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it does not run, [`ErrorKind::Invalid`] for an unknown signal.
pub async fn kill(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    signal: Option<&str>,
) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::SignalInstance, id)?;
    if !view.is_up() {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!("container {} is not running", id.simple()),
        ));
    }
    let signal = signal.unwrap_or("KILL");
    let container = view.instance.spec.containers.first();
    let stop_signal = container
        .and_then(|container| container.stop_signal.as_deref())
        .unwrap_or("TERM");
    if is_same_signal(signal, "KILL", "9") || is_same_signal(signal, stop_signal, "15") {
        let (_, _ticket) = change_intent(cloud, id, |instance| {
            let run = &mut instance.spec.run;
            run.stopped_by_user = true;
            Ok(())
        })
        .await?;
    }
    cloud.nodes.signal(id, signal).await?;
    if is_same_signal(signal, "KILL", "9") {
        // As dockerd: a kill answers once the process is gone.
        let run = view.status.run;
        let waiter = cloud.observer.waiter(id);
        let gone = waiter.until(|| match newest(cloud, id, waiter.last()) {
            Some(status)
                if status.run == run && matches!(status.phase, Phase::Running | Phase::Paused) =>
            {
                None
            }
            _ => Some(()),
        });
        within(STOP_GRACE, gone).await?;
    }
    Ok(())
}

fn is_same_signal(signal: &str, name: &str, number: &str) -> bool {
    let bare = |text: &str| {
        let upper = text.to_ascii_uppercase();
        upper
            .strip_prefix("SIG")
            .map_or(upper.clone(), str::to_owned)
    };
    bare(signal) == bare(name) || signal == number && matches!(bare(name).as_str(), "KILL" | "TERM")
}

/// Freezes an instance's processes.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it does not run or is frozen already.
pub async fn pause(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::PauseInstance, id)?;
    match view.status.phase {
        Phase::Running => set_paused(cloud, &view, true).await,
        Phase::Paused => Err(ActionError::new(
            ErrorKind::Conflict,
            format!("Container {} is already paused", id.simple()),
        )),
        Phase::Created | Phase::Exited | Phase::Dead => Err(ActionError::new(
            ErrorKind::Conflict,
            format!("Container {} is not running", id.simple()),
        )),
    }
}

/// Thaws an instance's processes.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it is not frozen.
pub async fn unpause(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::UnpauseInstance, id)?;
    if view.status.phase != Phase::Paused {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!("Container {} is not paused", id.simple()),
        ));
    }
    set_paused(cloud, &view, false).await
}

async fn set_paused(cloud: &Cloud, view: &View, paused: bool) -> Result<(), ActionError> {
    let id = view.instance.meta.id;
    let waiter = cloud.observer.waiter(id);
    let (generation, ticket) = change_intent(cloud, id, |instance| {
        instance.spec.run.paused = paused;
        instance.meta.generation += 1;
        Ok(instance.meta.generation)
    })
    .await?;
    let wanted = if paused {
        Phase::Paused
    } else {
        Phase::Running
    };
    let done = waiter.until(|| {
        let Some(status) = newest(cloud, id, waiter.last()) else {
            return Some(Err(missing(id)));
        };
        if status.phase == wanted {
            return Some(Ok(()));
        }
        if !matches!(status.phase, Phase::Running | Phase::Paused) {
            return Some(Err(ActionError::new(
                ErrorKind::Conflict,
                format!("Container {} is not running", id.simple()),
            )));
        }
        let failure = status
            .error
            .as_ref()
            .filter(|_| status.generation >= generation)?;
        Some(Err(failure.clone().into()))
    });
    let (done, flushed) = tokio::join!(within(NODE_ANSWERS_WITHIN, done), durable(ticket));
    done.and_then(|answer| answer).and(flushed)
}

/// Changes the user's part of an instance; on a race with another change it reads and tries again.
///
/// Answers what `change` answered, and the ticket for the write's durability.
pub(crate) async fn change_intent<T>(
    cloud: &Cloud,
    id: Id,
    change: impl Fn(&mut Instance) -> Result<T, ActionError>,
) -> Result<(T, store::Durable), ActionError> {
    loop {
        let found = cloud.store.get::<Instance>(id).ok_or_else(|| missing(id))?;
        let mut instance = Instance::clone(&found.value);
        let answer = change(&mut instance)?;
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, instance);
        match cloud.commit(transaction).await {
            Ok(committed) => return Ok((answer, committed.durable)),
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

/// The newest status known, and `None` once the instance is gone.
pub(crate) fn newest(
    cloud: &Cloud,
    id: Id,
    last: Option<std::sync::Arc<InstanceStatus>>,
) -> Option<std::sync::Arc<InstanceStatus>> {
    match cloud.store.get::<InstanceStatus>(id) {
        Some(found) => Some(found.value),
        None => match cloud.store.get::<Instance>(id) {
            Some(found) => Some(std::sync::Arc::new(super::unseen(&found.value))),
            None => last,
        },
    }
}

/// Waits until the node has made what an instance has before it first runs, its files above all. A
/// node that takes too long, or cannot, says so itself when it is asked.
pub(crate) async fn made(cloud: &Cloud, id: Id) {
    let waiter = cloud.observer.waiter(id);
    let is_made = || {
        let is_seen = cloud.store.get::<InstanceStatus>(id).is_some();
        let is_gone = cloud.store.get::<Instance>(id).is_none();
        (is_seen || is_gone).then_some(())
    };
    if tokio::time::timeout(NODE_MAKES_WITHIN, waiter.until(is_made))
        .await
        .is_err()
    {
        tracing::debug!(%id, "not made yet");
    }
}

/// Waits for `answer`, but not for ever.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = T>,
) -> Result<T, ActionError> {
    tokio::time::timeout(limit, answer).await.map_err(|_| {
        ActionError::new(
            ErrorKind::TimedOut,
            format!("the node did not answer within {} seconds", limit.as_secs()),
        )
    })
}

fn refuse_removal_in_progress(instance: &Instance) -> Result<(), ActionError> {
    if instance.meta.deleted_at.is_none() {
        return Ok(());
    }
    Err(ActionError::new(
        ErrorKind::Conflict,
        "container is marked for removal and cannot be started",
    ))
}

#[cfg(test)]
mod tests {
    use super::is_same_signal;

    #[test]
    fn signals_are_the_same_by_any_of_their_names() {
        assert!(is_same_signal("SIGKILL", "KILL", "9"));
        assert!(is_same_signal("9", "KILL", "9"));
        assert!(is_same_signal("quit", "SIGQUIT", "15"));
        assert!(!is_same_signal("HUP", "KILL", "9"));
        assert!(!is_same_signal("15", "SIGQUIT", "15"));
    }
}

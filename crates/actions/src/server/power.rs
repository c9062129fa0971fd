//! Starts, stops, restarts, freezes and puts away servers.

use model::Id;
use model::instance::StopRequest;
use model::server::{Standing, Task};

use super::snapshot::{self, NewSnapshot};
use super::task::{Doing, Outcome, begin, carry_out, change_record, or_end};
use super::{State, View, greet, steward};
use crate::policy::Action;
use crate::{ActionError, Caller, Cloud, ErrorKind, instance};

/// How to restart a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reboot {
    Soft,
    Hard,
}

/// Ends it at once.
fn at_once() -> StopRequest {
    StopRequest {
        signal: Some("KILL".to_owned()),
        timeout_secs: None,
    }
}

/// Stops an instance, which may have ended by itself meanwhile.
async fn halt(cloud: &Cloud, caller: &Caller, id: Id, how: StopRequest) -> Result<(), ActionError> {
    match instance::stop(cloud, caller, id, how).await {
        Err(error) if error.kind == ErrorKind::NotModified => Ok(()),
        stopped => stopped,
    }
}

/// Starts an instance, which may have been started meanwhile.
async fn run(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    match instance::start(cloud, caller, id).await {
        Err(error) if error.kind == ErrorKind::NotModified => {}
        started => drop(started?),
    }
    greet::if_due(cloud, caller, id).await
}

/// Begins something, and has `work` carry it out on behalf of the server's project.
async fn doing<F, W>(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    doing: &Doing,
    work: F,
) -> Result<(), ActionError>
where
    F: FnOnce(Cloud, Caller, View) -> W + Send + 'static,
    W: Future<Output = Result<Outcome, ActionError>> + Send + 'static,
{
    let view = begin(cloud, caller, id, doing).await?;
    let acting = steward(&view.server, &caller.request_id);
    carry_out(cloud, id, work(cloud.clone(), acting, view));
    Ok(())
}

/// Starts a stopped server.
///
/// # Errors
/// [`ErrorKind::Conflict`] in another state, while something is done to it, or where it is locked.
pub async fn start(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let starting = Doing {
        action: Action::StartInstance,
        name: "start",
        task: Some(Task::Starting),
        states: &[State::Stopped],
    };
    doing(
        cloud,
        caller,
        id,
        &starting,
        async move |cloud, acting, _| {
            run(&cloud, &acting, id).await?;
            Ok(Outcome::Stands(Standing::Made))
        },
    )
    .await
}

/// Stops a running server.
///
/// # Errors
/// As [`start`].
pub async fn stop(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let stopping = Doing {
        action: Action::StopInstance,
        name: "stop",
        task: Some(Task::Stopping),
        states: &[State::Active, State::Broken],
    };
    doing(
        cloud,
        caller,
        id,
        &stopping,
        async move |cloud, acting, _| {
            halt(&cloud, &acting, id, StopRequest::default()).await?;
            Ok(Outcome::Stands(Standing::Made))
        },
    )
    .await
}

/// Stops a server where it runs, and starts it: softly a running one only, hard from any state that
/// it could be stuck in.
///
/// # Errors
/// As [`start`].
pub async fn reboot(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    how: Reboot,
) -> Result<(), ActionError> {
    let rebooting = match how {
        Reboot::Soft => Doing {
            action: Action::RebootInstance,
            name: "reboot",
            task: Some(Task::Rebooting),
            states: &[State::Active],
        },
        Reboot::Hard => Doing {
            action: Action::RebootInstance,
            name: "reboot",
            task: Some(Task::RebootingHard),
            states: &[
                State::Active,
                State::Stopped,
                State::Paused,
                State::Suspended,
                State::Broken,
            ],
        },
    };
    doing(
        cloud,
        caller,
        id,
        &rebooting,
        async move |cloud, acting, _| {
            let request = match how {
                Reboot::Soft => StopRequest::default(),
                Reboot::Hard => at_once(),
            };
            instance::restart(&cloud, &acting, id, request).await?;
            greet::if_due(&cloud, &acting, id).await?;
            Ok(Outcome::Stands(Standing::Made))
        },
    )
    .await
}

/// Freezes a running server.
///
/// # Errors
/// As [`start`].
pub async fn pause(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let pausing = Doing {
        action: Action::PauseInstance,
        name: "pause",
        task: Some(Task::Pausing),
        states: &[State::Active],
    };
    doing(
        cloud,
        caller,
        id,
        &pausing,
        async move |cloud, acting, _| {
            instance::pause(&cloud, &acting, id).await?;
            Ok(Outcome::Unchanged)
        },
    )
    .await
}

/// Thaws a frozen server.
///
/// # Errors
/// As [`start`].
pub async fn unpause(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let unpausing = Doing {
        action: Action::UnpauseInstance,
        name: "unpause",
        task: Some(Task::Unpausing),
        states: &[State::Paused],
    };
    doing(
        cloud,
        caller,
        id,
        &unpausing,
        async move |cloud, acting, _| {
            instance::unpause(&cloud, &acting, id).await?;
            Ok(Outcome::Unchanged)
        },
    )
    .await
}

/// Freezes a running server for a long time: to its user it does not run.
///
/// # Errors
/// As [`start`].
pub async fn suspend(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let suspending = Doing {
        action: Action::SuspendServer,
        name: "suspend",
        task: Some(Task::Suspending),
        states: &[State::Active],
    };
    doing(
        cloud,
        caller,
        id,
        &suspending,
        async move |cloud, acting, _| {
            instance::pause(&cloud, &acting, id).await?;
            Ok(Outcome::Stands(Standing::Suspended))
        },
    )
    .await
}

/// Thaws a suspended server.
///
/// # Errors
/// As [`start`].
pub async fn resume_suspended(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let resuming = Doing {
        action: Action::ResumeServer,
        name: "resume",
        task: Some(Task::Resuming),
        states: &[State::Suspended],
    };
    doing(
        cloud,
        caller,
        id,
        &resuming,
        async move |cloud, acting, _| {
            instance::unpause(&cloud, &acting, id).await?;
            Ok(Outcome::Stands(Standing::Made))
        },
    )
    .await
}

/// Puts a server away: stopped, it uses nothing but its files until it is taken out again. An image
/// is made of it, from which others can be made meanwhile.
///
/// # Errors
/// As [`start`].
pub async fn shelve(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let shelving = Doing {
        action: Action::ShelveServer,
        name: "shelve",
        task: Some(Task::Shelving),
        states: &[
            State::Active,
            State::Stopped,
            State::Paused,
            State::Suspended,
        ],
    };
    let view = begin(cloud, caller, id, &shelving).await?;
    let acting = steward(&view.server, &caller.request_id);
    let new = NewSnapshot {
        name: format!("{}-shelved", view.server.meta.name),
        ..NewSnapshot::default()
    };
    // What is on a volume is kept by it.
    let made = match view.server.spec.root_volume() {
        Some(_) => None,
        None => {
            let made = snapshot::make(cloud, &acting, &view, new).await;
            Some(or_end(cloud, id, made).await?)
        }
    };
    let behind = cloud.clone();
    carry_out(cloud, id, async move {
        let how = if view.state() == State::Active {
            StopRequest::default()
        } else {
            at_once()
        };
        halt(&behind, &acting, id, how).await?;
        if let Some((image, filling)) = made {
            filling.await?;
            change_record(&behind, id, |server| {
                server.shelved_as = Some(image);
                Ok(())
            })
            .await?;
        }
        Ok(Outcome::Stands(Standing::Offloaded))
    });
    Ok(())
}

/// Puts a shelved server further away: none is, for [`shelve`] goes all the way, as Nova's does where
/// nothing else is configured.
///
/// # Errors
/// [`ErrorKind::Conflict`], whatever state it is in.
pub async fn offload(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let offloading = Doing {
        action: Action::OffloadServer,
        name: "shelveOffload",
        task: None,
        states: &[],
    };
    begin(cloud, caller, id, &offloading).await.map(drop)
}

/// Takes a server out again, and starts it.
///
/// # Errors
/// As [`start`].
pub async fn unshelve(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let unshelving = Doing {
        action: Action::UnshelveServer,
        name: "unshelve",
        task: Some(Task::Unshelving),
        states: &[State::Offloaded],
    };
    doing(
        cloud,
        caller,
        id,
        &unshelving,
        async move |cloud, acting, view| {
            run(&cloud, &acting, id).await?;
            snapshot::forget(&cloud, &view.server).await;
            change_record(&cloud, id, |server| {
                server.shelved_as = None;
                Ok(())
            })
            .await?;
            Ok(Outcome::Stands(Standing::Made))
        },
    )
    .await
}

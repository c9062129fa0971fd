//! Tasks: what is being done to a server. One at a time; written down before anything is done, so
//! that clients see it and nothing else begins, and taken away when it ended, however it did.

use std::sync::Arc;

use jiff::Timestamp;
use model::Id;
use model::server::{Deed, Fault, Server, Standing, Task};
use store::{CommitError, Durable, Transaction};

use super::{State, View, adopted, conflict, get, missing, view};
use crate::policy::{self, Target};
use crate::quota::is_contended;
use crate::{ActionError, Caller, Cloud, ErrorKind, instance};

/// Something that is done to a server.
pub(super) struct Doing {
    /// What it is in the table of who may.
    pub(super) action: policy::Action,
    /// What its protocol calls it.
    pub(super) name: &'static str,
    /// What the server shows meanwhile; `None` where nothing is carried on behind the answer.
    pub(super) task: Option<Task>,
    /// States in which it can be done.
    pub(super) states: &'static [State],
}

/// Every state of a server that was made.
pub(super) const ANY_STATE: &[State] = &[
    State::Building,
    State::Active,
    State::Paused,
    State::Suspended,
    State::Stopped,
    State::Resized,
    State::Offloaded,
    State::Broken,
];

/// What clients and messages call a task.
#[must_use]
pub(super) const fn task_name(task: Task) -> &'static str {
    match task {
        Task::Building => "spawning",
        Task::Starting => "powering-on",
        Task::Stopping => "powering-off",
        Task::Rebooting => "rebooting",
        Task::RebootingHard => "rebooting_hard",
        Task::Pausing => "pausing",
        Task::Unpausing => "unpausing",
        Task::Suspending => "suspending",
        Task::Resuming => "resuming",
        Task::Shelving => "shelving",
        Task::Unshelving => "unshelving",
        Task::Rebuilding => "rebuilding",
        Task::Resizing => "resize_prep",
        Task::Confirming => "resize_confirming",
        Task::Reverting => "resize_reverting",
        Task::Imaging => "image_snapshot",
        Task::Deleting => "deleting",
    }
}

impl View {
    /// What is being done to it, as clients name it.
    #[must_use]
    pub fn task_name(&self) -> Option<&'static str> {
        self.task().map(task_name)
    }
}

/// Looks whether something may be done to a server: by this caller, and by its state.
pub(super) fn check(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    doing: &Doing,
) -> Result<View, ActionError> {
    let view = get(cloud, caller, id)?;
    caller.may(doing.action, &Target::project(view.server.meta.project))?;
    check_lock(caller, &view.server)?;
    if let Some(task) = view.task_name() {
        return Err(in_state(doing.name, id, "task_state", task));
    }
    let state = view.state();
    if !doing.states.contains(&state) {
        return Err(in_state(doing.name, id, "vm_state", state.as_str()));
    }
    Ok(view)
}

/// Refuses whoever is not an admin what would change a locked server.
pub(super) fn check_lock(caller: &Caller, server: &Server) -> Result<(), ActionError> {
    if server.spec.lock.is_some() && !caller.is_admin() {
        return Err(conflict(format!("Instance {} is locked", server.meta.id)));
    }
    Ok(())
}

fn in_state(name: &str, id: Id, what: &str, state: &str) -> ActionError {
    conflict(format!(
        "Cannot '{name}' instance {id} while it is in {what} {state}"
    ))
}

/// Writes down that something is done to a server, and by whom.
pub(super) async fn begin(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    doing: &Doing,
) -> Result<View, ActionError> {
    begin_with(cloud, caller, id, doing, |_, _| Ok(())).await
}

/// As [`begin`], with what else changes in the same batch.
pub(super) async fn begin_with(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    doing: &Doing,
    change: impl Fn(&mut Server, &mut Transaction) -> Result<(), ActionError>,
) -> Result<View, ActionError> {
    check(cloud, caller, id, doing)?;
    let now = cloud.now();
    let (server, ticket) = change_counted(cloud, id, |server, transaction| {
        if let Some(task) = server.task {
            return Err(in_state(doing.name, id, "task_state", task_name(task)));
        }
        server.task = doing.task;
        server.meta.updated_at = Some(now);
        match doing.task {
            Some(_) => note(server, caller, doing.name, now),
            None => note_done(server, caller, doing.name, now),
        }
        change(server, transaction)
    })
    .await?;
    crate::durable(ticket).await?;
    Ok(View {
        server: Arc::new(server),
        instance: instance::find(cloud, id),
    })
}

/// Remembers something that is done to a server.
pub(super) fn note(server: &mut Server, caller: &Caller, action: &str, now: Timestamp) {
    server.deeds.push(Deed {
        request: caller.request_id.clone(),
        action: action.to_owned(),
        user: caller.user,
        project: caller.project().0,
        started_at: now,
        ended_at: None,
        failure: None,
    });
    let surplus = server.deeds.len().saturating_sub(Server::MOST_DEEDS);
    server.deeds.drain(..surplus);
}

/// Remembers something that was done to a server, and is over.
pub(super) fn note_done(server: &mut Server, caller: &Caller, action: &str, now: Timestamp) {
    note(server, caller, action, now);
    if let Some(deed) = server.deeds.last_mut() {
        deed.ended_at = Some(now);
    }
}

/// What became of a task.
pub(super) enum Outcome {
    /// The server stands so.
    Stands(Standing),
    /// It stands as before.
    Unchanged,
}

/// Carries a task out behind the answer to whoever asked for it.
pub(super) fn carry_out(
    cloud: &Cloud,
    id: Id,
    work: impl Future<Output = Result<Outcome, ActionError>> + Send + 'static,
) {
    let cloud = cloud.clone();
    drop(tokio::spawn(async move {
        let outcome = work.await;
        end(&cloud, id, outcome).await;
    }));
}

/// Where something fails before the answer, writes down that nothing became of the task.
pub(super) async fn or_end<T>(
    cloud: &Cloud,
    id: Id,
    prepared: Result<T, ActionError>,
) -> Result<T, ActionError> {
    if prepared.is_err() {
        end(cloud, id, Ok(Outcome::Unchanged)).await;
    }
    prepared
}

/// Writes down what became of a task. A server that went meanwhile needs no word.
pub(super) async fn end(cloud: &Cloud, id: Id, outcome: Result<Outcome, ActionError>) {
    let now = cloud.now();
    let written = change_record(cloud, id, |server| {
        server.task = None;
        server.meta.updated_at = Some(now);
        let failure = outcome.as_ref().err().map(ToString::to_string);
        match &outcome {
            Ok(Outcome::Stands(standing)) => {
                if server.standing == Standing::Building {
                    server.launched_at = Some(now);
                }
                server.standing = *standing;
            }
            Ok(Outcome::Unchanged) => {}
            Err(error) => {
                server.fault = Some(fault(error, now));
                if server.standing == Standing::Building {
                    server.standing = Standing::Broken;
                }
            }
        }
        if let Some(deed) = server
            .deeds
            .iter_mut()
            .rfind(|deed| deed.ended_at.is_none())
        {
            deed.ended_at = Some(now);
            deed.failure = failure;
        }
        Ok(())
    })
    .await;
    if let Err(error) = &outcome {
        tracing::warn!(server = %id, error = error as &dyn std::error::Error, "a server's task failed");
    }
    if let Err(error) = written
        && error.kind != ErrorKind::NotFound
    {
        tracing::error!(server = %id, error = &error as &dyn std::error::Error, "a server's task stays written down");
    }
}

fn fault(error: &ActionError, at: Timestamp) -> Fault {
    let (code, message) = match error.kind {
        ErrorKind::NoCapacity => (500, format!("No valid host was found. {error}")),
        ErrorKind::NotFound => (404, error.to_string()),
        _ => (500, error.to_string()),
    };
    Fault { code, message, at }
}

/// Changes a server's record, again where somebody else changed it meanwhile. An instance that had
/// none, as another protocol made it, gets one.
pub(super) async fn change_record(
    cloud: &Cloud,
    id: Id,
    change: impl Fn(&mut Server) -> Result<(), ActionError>,
) -> Result<(Server, Durable), ActionError> {
    change_counted(cloud, id, |server, _| change(server)).await
}

/// As [`change_record`], with what makes it count in the same batch.
async fn change_counted(
    cloud: &Cloud,
    id: Id,
    change: impl Fn(&mut Server, &mut Transaction) -> Result<(), ActionError>,
) -> Result<(Server, Durable), ActionError> {
    loop {
        let mut transaction = cloud.store.transaction();
        let server = match cloud.store.get::<Server>(id) {
            Some(found) => {
                let mut server = Server::clone(&found.value);
                change(&mut server, &mut transaction)?;
                server.meta.generation += 1;
                transaction.update(id, found.revision, server.clone());
                server
            }
            None => {
                let found = view(cloud, id).and_then(|view| view.instance);
                let found = found.ok_or_else(|| missing(id))?;
                let mut server = adopted(&found.instance);
                change(&mut server, &mut transaction)?;
                transaction.insert(id, server.clone());
                server
            }
        };
        match cloud.store.commit(transaction).await {
            Ok(committed) => return Ok((server, committed.durable)),
            Err(
                CommitError::Conflict { .. }
                | CommitError::NotFound { .. }
                | CommitError::Exists { .. },
            ) => {}
            Err(error) if is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

//! Further processes in instances that run.

use model::Id;
use model::container::TerminalSize;
use model::event::Action;
use model::instance::Phase;
use model::stream::{ExecSpec, ExecStatus};

use crate::nodes::{Input, Output};
use crate::observer::instance_event;
use crate::policy;
use crate::{ActionError, Caller, Cloud, ErrorKind, instance, isolation};

/// Prepares a process and answers its identity.
///
/// # Errors
/// [`ErrorKind::Conflict`] when the instance does not run or is frozen, [`ErrorKind::Invalid`]
/// without a command.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    spec: ExecSpec,
) -> Result<String, ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::Execute, id)?;
    if spec.privileged && isolation::is_tenant(view.instance.meta.project) {
        return Err(isolation::refused("privileged"));
    }
    refuse_unless_running(&view)?;
    if spec.args.is_empty() {
        return Err(ActionError::new(
            ErrorKind::Invalid,
            "no exec command specified",
        ));
    }
    let exec = cloud.nodes.exec_create(id, &spec).await?;
    let mut event = instance_event(&view.instance, Action::ExecCreated);
    event.attributes.insert("execID".to_owned(), exec.clone());
    event
        .attributes
        .insert("command".to_owned(), spec.args.join(" "));
    cloud.observer.tell(event);
    Ok(exec)
}

fn refuse_unless_running(view: &instance::View) -> Result<(), ActionError> {
    let id = view.instance.meta.id.simple();
    let words = match view.status.phase {
        Phase::Running => return Ok(()),
        Phase::Paused => format!("Container {id} is paused, unpause the container before exec"),
        Phase::Created | Phase::Exited | Phase::Dead => format!("container {id} is not running"),
    };
    Err(ActionError::new(ErrorKind::Conflict, words))
}

/// What is known of an exec that may be started now, and whose it is.
///
/// # Errors
/// [`ErrorKind::NotFound`] for an unknown exec, [`ErrorKind::Conflict`] when its instance does not run
/// or is frozen.
pub async fn startable(
    cloud: &Cloud,
    caller: &Caller,
    exec: &str,
) -> Result<(Id, ExecStatus), ActionError> {
    let (id, status) = get(cloud, caller, exec).await?;
    refuse_unless_running(&instance::get(cloud, caller, id)?)?;
    Ok((id, status))
}

/// Runs a prepared process.
///
/// # Errors
/// [`ErrorKind::NotFound`] for an unknown exec, [`ErrorKind::Conflict`] for one that ran already,
/// and what the node says.
pub async fn start(
    cloud: &Cloud,
    caller: &Caller,
    exec: &str,
    detach: bool,
    size: Option<TerminalSize>,
) -> Result<(Output, Option<Input>), ActionError> {
    let (id, status) = get(cloud, caller, exec).await?;
    let view = instance::allowed(cloud, caller, policy::Action::Execute, id)?;
    let streams = cloud.nodes.exec_start(exec, detach, size).await?;
    let mut event = instance_event(&view.instance, Action::ExecStarted);
    event
        .attributes
        .insert("execID".to_owned(), exec.to_owned());
    event
        .attributes
        .insert("command".to_owned(), status.spec.args.join(" "));
    cloud.observer.tell(event);
    Ok(streams)
}

/// A client let go of an exec's streams, which ends nothing else.
pub fn detached(cloud: &Cloud, caller: &Caller, id: Id, exec: &str) {
    // An instance that is gone has nothing to tell of.
    if let Ok(view) = instance::get(cloud, caller, id) {
        let mut event = instance_event(&view.instance, Action::ExecDetached);
        event
            .attributes
            .insert("execID".to_owned(), exec.to_owned());
        cloud.observer.tell(event);
    }
}

/// Sets the size of an exec's terminal.
///
/// # Errors
/// [`ErrorKind::NotFound`], and what the node says.
pub async fn resize(
    cloud: &Cloud,
    caller: &Caller,
    exec: &str,
    size: TerminalSize,
) -> Result<(), ActionError> {
    let (id, _) = get(cloud, caller, exec).await?;
    instance::allowed(cloud, caller, policy::Action::ResizeTerminal, id)?;
    Ok(cloud.nodes.exec_resize(exec, size).await?)
}

/// What is known of an exec, and whose it is.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn get(
    cloud: &Cloud,
    caller: &Caller,
    exec: &str,
) -> Result<(Id, ExecStatus), ActionError> {
    let (id, status) = cloud.nodes.exec_status(exec).await?;
    match instance::get(cloud, caller, id) {
        Ok(_) => Ok((id, status)),
        Err(_) => Err(ActionError::new(
            ErrorKind::NotFound,
            format!("No such exec instance: {exec}"),
        )),
    }
}

/// The execs of an instance that are prepared or run.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn list(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<String>, ActionError> {
    instance::get(cloud, caller, id)?;
    Ok(cloud.nodes.execs(id).await)
}

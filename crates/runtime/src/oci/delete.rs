//! `delete`: removes what is left of a container.

use std::os::fd::AsFd as _;
use std::path::Path;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};

use super::record::{Record, RecordError, Status};
use super::{OciError, report};
use crate::start::hooks;
use crate::sys::signals::send;

/// Arguments of `delete`.
#[derive(Args, Clone, Debug)]
pub(super) struct Delete {
    /// Kill it first, if it runs; a container that does not exist is no error.
    #[arg(long, short)]
    force: bool,
    /// Name of the container.
    id: String,
}

impl Delete {
    /// Removes it.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        delete(root, &self.id, self.force)
    }
}

/// Removes a container: its processes, its cgroup, its record.
pub(super) fn delete(root: &Path, id: &str, force: bool) -> Result<(), OciError> {
    let record = match Record::load(root, id) {
        Err(RecordError::Missing(_)) if force => return Ok(Record::forget(root, id)?),
        answer => answer?,
    };
    let state = record.status(root)?;
    if !force && state != Status::Stopped {
        return Err(OciError::State {
            operation: "delete",
            state,
        });
    }
    if let Some(process) = record.pidfd() {
        // A process that is held still cannot die on a version 1 hierarchy.
        record.cgroup()?.thaw()?;
        // An error means that it has ended meanwhile.
        let _gone = send(process.as_fd(), libc::SIGKILL);
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut ended, None).map_err(OciError::host("wait for the process"))?;
    }
    record.cgroup()?.remove()?;
    Record::forget(root, id)?;
    // Errors of these hooks are told, and stop nothing (`runtime.md`, "Lifecycle").
    let hooks_of = record
        .hooks
        .as_ref()
        .and_then(|hooks| hooks.poststop().as_ref());
    let state = record.state(Status::Stopped).to_string();
    for hook in hooks_of.into_iter().flatten() {
        if let Err(error) = hooks::run(hook, "poststop", &state) {
            report::Reporter::new(None, report::Format::Text).error(&error);
        }
    }
    Ok(())
}

//! `start`: lets a created container's process execute its program.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{self, Mode, OFlags};

use super::OciError;
use super::create::Reports;
use super::record::{FIFO, Record, Status, directory};
use crate::start::hooks;

/// Starts a container, and runs its `poststart` hooks.
pub(super) fn start(root: &Path, id: &str) -> Result<(), OciError> {
    let record = Record::load(root, id)?;
    let state = record.status(root)?;
    if state != Status::Created {
        return Err(OciError::State {
            operation: "start",
            state,
        });
    }
    // Before it can run, and end.
    let process = record.pidfd().ok_or(OciError::Ended)?;
    let fifo = directory(root, id)?.join(FIFO);
    // The process opens it for writing, goes on, and closes it by executing the program. Should it
    // die before, nobody else would: so this end does not wait to be opened, but for the process.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reports =
        fs::open(&fifo, flags, Mode::empty()).map_err(OciError::host("open the start FIFO"))?;
    wait_for_writer(&process, &reports)?;
    rustix::io::ioctl_fionbio(&reports, false).map_err(OciError::host("wait for the start"))?;
    fs::unlink(&fifo).map_err(OciError::host("remove the start FIFO"))?;
    Reports::new(reports).executed()?;
    let hooks_of = record
        .hooks
        .as_ref()
        .and_then(|hooks| hooks.poststart().as_ref());
    let state = record.state(Status::Running).to_string();
    for hook in hooks_of.into_iter().flatten() {
        hooks::run(hook, "poststart", &state)?;
    }
    Ok(())
}

/// Waits until the process has something to report, has executed the program, or has ended.
fn wait_for_writer(process: &OwnedFd, fifo: &OwnedFd) -> Result<(), OciError> {
    let mut either = [
        PollFd::new(fifo, PollFlags::IN),
        PollFd::new(process, PollFlags::IN),
    ];
    poll(&mut either, None).map_err(OciError::host("wait for the start"))?;
    Ok(())
}

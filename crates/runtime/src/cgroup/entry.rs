//! How a process gets into a cgroup of version 1, in which it cannot be born.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::CgroupError;

/// Descriptors by which a process gets into a cgroup of version 1.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// `tasks` of each version 1 directory, open for writing, without those of `shares`.
    pub(crate) tasks: Vec<OwnedFd>,
    /// `tasks` where processor time is shared out.
    pub(crate) shares: Option<OwnedFd>,
}

impl Entry {
    /// Moves this process in, where it was not born in, but for the container's share of processor
    /// time. It must have one thread.
    ///
    /// By `tasks` and not `cgroup.procs`: a thread that moves itself alone spares the kernel its
    /// lock over all thread groups, and with it a wait of up to half a millisecond.
    pub(crate) fn join(&self) -> Result<(), CgroupError> {
        self.tasks.iter().try_for_each(join)
    }

    /// Moves this process in where processor time is shared out, too: it is in the whole cgroup
    /// then. Late, so that a start does not wait for the container's own share.
    pub(crate) fn join_shares(&self) -> Result<(), CgroupError> {
        self.shares.iter().try_for_each(join)
    }
}

fn join(tasks: &OwnedFd) -> Result<(), CgroupError> {
    rustix::io::write(tasks, b"0")
        .map(drop)
        .map_err(|errno| CgroupError::refused("join cgroup", Path::new("tasks"), errno))
}

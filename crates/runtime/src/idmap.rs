//! User namespaces: which user and group ids of the host a container's ids are.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIdMapping;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::AsFd as _;

use crate::procfs::{Proc, ProcError};
use crate::sys::fork::fork;
use crate::sys::identity::as_file_owner;

/// Why ids could not be mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdMapError {
    /// A user namespace without mappings would have no root.
    #[error("linux.uidMappings and linux.gidMappings are needed for a user namespace")]
    Missing,
    /// The kernel refused.
    #[error("make a user namespace")]
    Namespace(#[source] Errno),
    /// The kernel refused the mapping.
    #[error("map ids")]
    Map(#[source] ProcError),
}

/// Mappings of users and of groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mappings<'spec> {
    pub(crate) users: &'spec [LinuxIdMapping],
    pub(crate) groups: &'spec [LinuxIdMapping],
}

impl<'spec> Mappings<'spec> {
    /// Both, where both are given.
    pub(crate) fn new(
        users: Option<&'spec Vec<LinuxIdMapping>>,
        groups: Option<&'spec Vec<LinuxIdMapping>>,
    ) -> Result<Self, IdMapError> {
        match (users, groups) {
            (Some(users), Some(groups)) if !users.is_empty() && !groups.is_empty() => {
                Ok(Self { users, groups })
            }
            _ => Err(IdMapError::Missing),
        }
    }

    /// Gives them to the user namespace of a process, which has none yet.
    pub(crate) fn write(self, proc: &Proc, pid: u32) -> Result<(), IdMapError> {
        for (file, mappings) in [("uid_map", self.users), ("gid_map", self.groups)] {
            let path = PathBuf::from(pid.to_string()).join(file);
            proc.write(&path, &lines(mappings))
                .map_err(IdMapError::Map)?;
        }
        Ok(())
    }

    /// A user namespace with these mappings and no process in it, for mapping the ids of mounts.
    pub(crate) fn namespace(self, proc: &Proc) -> Result<OwnedFd, IdMapError> {
        let flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        // It only has to exist for as long as it takes to open its namespace.
        let child = fork(flags, None, || {
            loop {
                rustix::thread::sched_yield();
                rustix::event::pause();
            }
        })
        .map_err(IdMapError::Namespace)?;
        let opened = self.write(proc, child.pid).and_then(|()| {
            let path = PathBuf::from(child.pid.to_string()).join("ns/user");
            proc.open_link(&path, OFlags::RDONLY)
                .map_err(IdMapError::Map)
        });
        pidfd_send_signal(&child.pidfd, Signal::KILL).map_err(IdMapError::Namespace)?;
        waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
            .map_err(IdMapError::Namespace)?;
        opened
    }

    /// The host's id for a user id of the container.
    pub(crate) fn host_user(self, id: u32) -> Option<u32> {
        host(self.users, id)
    }

    /// The host's id for a group id of the container.
    pub(crate) fn host_group(self, id: u32) -> Option<u32> {
        host(self.groups, id)
    }
}

/// Does something to files as the root of the range of ids that begins at `first`, with all
/// privileges kept: the host's own root is nobody in file systems that are mapped to the range.
///
/// Changes this thread only.
///
/// # Errors
/// When the kernel refuses, in a process without privileges.
pub fn as_root_of<T>(first: u32, act: impl FnOnce() -> T) -> std::io::Result<T> {
    Ok(as_file_owner(first, first, act)?)
}

fn host(mappings: &[LinuxIdMapping], id: u32) -> Option<u32> {
    mappings.iter().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id())?;
        (offset < mapping.size()).then(|| mapping.host_id().checked_add(offset))?
    })
}

fn lines(mappings: &[LinuxIdMapping]) -> String {
    let mut lines = String::new();
    for mapping in mappings {
        // Writing to a string cannot fail.
        let _ = writeln!(
            lines,
            "{} {} {}",
            mapping.container_id(),
            mapping.host_id(),
            mapping.size()
        );
    }
    lines
}

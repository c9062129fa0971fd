//! A running process that others join, known by its pidfd.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, OFlags};
use rustix::io::Errno;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::launch::{StartError, StartErrorKind};
use crate::procfs::{Proc, ProcError};
use crate::sys;

/// Why a process could not be joined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// It has ended.
    #[error("the container is not running")]
    Gone,
    /// What the kernel knows of it could not be read.
    #[error("look at the container's process 1")]
    Look(#[source] ProcError),
    /// The kernel refused.
    #[error("join the container's namespaces")]
    Join(#[source] Errno),
}

impl TargetError {
    /// A container that ends meanwhile is no fault of the host.
    pub(crate) fn start_error(&self) -> StartError {
        let kind = match self {
            Self::Gone => StartErrorKind::Invalid,
            Self::Look(_) | Self::Join(_) => StartErrorKind::Internal,
        };
        StartError::caused(kind, self)
    }
}

/// A process to be joined.
#[derive(Debug)]
pub(crate) struct Target<'fd> {
    pidfd: BorrowedFd<'fd>,
    pub(crate) pid: u32,
}

impl<'fd> Target<'fd> {
    /// Finds the process's id, as `/proc` shows it.
    pub(crate) fn new(proc: &Proc, pidfd: BorrowedFd<'fd>) -> Result<Self, TargetError> {
        let path = format!("self/fdinfo/{}", pidfd.as_raw_fd());
        let file = proc
            .open_file(path.as_ref(), OFlags::RDONLY)
            .map_err(TargetError::Look)?;
        let mut content = [0; 512];
        let length = rustix::io::read(&file, &mut content).map_err(TargetError::Join)?;
        let content = String::from_utf8_lossy(content.get(..length).unwrap_or_default());
        let pid = content
            .lines()
            .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
        // An ended process has the id -1.
        pid.map(|pid| Self { pidfd, pid }).ok_or(TargetError::Gone)
    }

    /// A handle on its root directory.
    pub(crate) fn root(&self, proc: &Proc) -> Result<OwnedFd, TargetError> {
        self.open(proc, "root", OFlags::PATH | OFlags::DIRECTORY)
    }

    fn open(&self, proc: &Proc, name: &str, flags: OFlags) -> Result<OwnedFd, TargetError> {
        let path = PathBuf::from(self.pid.to_string()).join(name);
        let opened = proc.open_link(&path, flags).map_err(TargetError::Look)?;
        // If it still lives now, the id was its own all along.
        sys::signals::send(self.pidfd, 0).map_err(|_| TargetError::Gone)?;
        Ok(opened)
    }

    /// It is in another user namespace than this process.
    pub(crate) fn has_own_users(&self, proc: &Proc) -> Result<bool, TargetError> {
        let inode = |fd: OwnedFd| {
            fs::fstat(&fd)
                .map(|stat| stat.st_ino)
                .map_err(TargetError::Join)
        };
        let its = inode(self.open(proc, "ns/user", OFlags::RDONLY)?)?;
        let ours = proc
            .open_link("self/ns/user".as_ref(), OFlags::RDONLY)
            .map_err(TargetError::Look)?;
        Ok(its != inode(ours)?)
    }

    /// Joins namespaces of it.
    pub(crate) fn join(&self, namespaces: ThreadNameSpaceType) -> Result<(), TargetError> {
        move_into_thread_name_spaces(self.pidfd.as_fd(), namespaces).map_err(|errno| match errno {
            Errno::SRCH => TargetError::Gone,
            errno => TargetError::Join(errno),
        })
    }
}

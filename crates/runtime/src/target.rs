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

    /// Its user namespace, where that is another one than this process's.
    pub(crate) fn own_users(&self, proc: &Proc) -> Result<Option<OwnedFd>, TargetError> {
        if !self.has_own_users(proc)? {
            return Ok(None);
        }
        self.open(proc, "ns/user", OFlags::RDONLY).map(Some)
    }

    /// The host's user and group id of its root.
    pub(crate) fn root_user(&self, proc: &Proc) -> Result<(u32, u32), TargetError> {
        Ok((
            self.host_id_of_root(proc, "uid_map")?,
            self.host_id_of_root(proc, "gid_map")?,
        ))
    }

    fn host_id_of_root(&self, proc: &Proc, name: &str) -> Result<u32, TargetError> {
        let path = PathBuf::from(self.pid.to_string()).join(name);
        let file = proc
            .open_file(&path, OFlags::RDONLY)
            .map_err(TargetError::Look)?;
        let mut content = [0; 4096];
        let length = rustix::io::read(&file, &mut content).map_err(TargetError::Join)?;
        let content = String::from_utf8_lossy(content.get(..length).unwrap_or_default());
        Ok(host_id_of_root(&content))
    }

    /// Joins namespaces of it.
    pub(crate) fn join(&self, namespaces: ThreadNameSpaceType) -> Result<(), TargetError> {
        move_into_thread_name_spaces(self.pidfd.as_fd(), namespaces).map_err(|errno| match errno {
            Errno::SRCH => TargetError::Gone,
            errno => TargetError::Join(errno),
        })
    }
}

/// What `/proc/PID/uid_map` says of user 0; without a word on it, nobody.
fn host_id_of_root(map: &str) -> u32 {
    const NOBODY: u32 = 65_534;
    map.lines()
        .find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("0")).then(|| words.next()?.parse().ok())?
        })
        .unwrap_or(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::host_id_of_root;

    #[test]
    fn root_is_who_the_map_says() {
        assert_eq!(host_id_of_root("         0          0 4294967295\n"), 0);
        assert_eq!(host_id_of_root("1 5 1\n0 100000 65536\n"), 100_000);
        assert_eq!(host_id_of_root("1 0 1\n"), 65_534);
    }
}

//! A handle on the host's `/proc`, checked to be one, for what must not be written elsewhere:
//! sysctls, security labels, id maps. Taken before anything of a container is mounted, so no
//! image can put something else in its place (CVE-2019-19921, CVE-2025-52881).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::mounts::PROC_ROOT_INODE;

/// The host's `/proc`.
#[derive(Debug)]
pub(crate) struct Proc {
    root: OwnedFd,
}

/// Why a file of `/proc` could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} /proc/{}", path.display())]
pub(crate) struct ProcError {
    attempt: &'static str,
    path: PathBuf,
    pub(crate) source: Errno,
}

impl Proc {
    /// Opens it.
    pub(crate) fn open() -> Result<Self, ProcError> {
        let failed = |source| ProcError {
            attempt: "open",
            path: PathBuf::new(),
            source,
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = fs::openat(CWD, "/proc", flags, Mode::empty()).map_err(failed)?;
        let is_proc = fs::fstatfs(&root).map_err(failed)?.f_type == fs::PROC_SUPER_MAGIC;
        let is_root = fs::fstat(&root).map_err(failed)?.st_ino == PROC_ROOT_INODE;
        if is_proc && is_root {
            Ok(Self { root })
        } else {
            Err(failed(Errno::NODEV))
        }
    }

    /// Opens a file below it; nothing mounted over it, and no link to elsewhere, is followed.
    pub(crate) fn open_file(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, ProcError> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
        .map_err(|source| ProcError {
            attempt: "open",
            path: path.to_owned(),
            source,
        })
    }

    /// Opens what a link of the kernel's refers to, such as `self/ns/pid`.
    pub(crate) fn open_link(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, ProcError> {
        let failed = |source| ProcError {
            attempt: "open",
            path: path.to_owned(),
            source,
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or_else(|| failed(Errno::INVAL))?;
        let parent = self.open_file(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        fs::openat(&parent, name, flags | OFlags::CLOEXEC, Mode::empty()).map_err(failed)
    }

    /// Writes a file below it.
    pub(crate) fn write(&self, path: &Path, value: &str) -> Result<(), ProcError> {
        let file = self.open_file(path, OFlags::WRONLY)?;
        rustix::io::write(&file, value.as_bytes())
            .map(drop)
            .map_err(|source| ProcError {
                attempt: "write",
                path: path.to_owned(),
                source,
            })
    }
}

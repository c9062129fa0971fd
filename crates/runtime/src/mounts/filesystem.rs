//! A file system that is being configured, by the kernel's `fsopen` interface.
//!
//! Mounts it makes are detached: they belong to a descriptor, and vanish with it unless attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::MountError;

/// A file system between `fsopen` and `fsmount`.
#[derive(Debug)]
pub(crate) struct FileSystem {
    fd: OwnedFd,
    kind: String,
}

impl FileSystem {
    /// Begins with a type: `tmpfs`.
    pub(crate) fn open(kind: &str) -> Result<Self, MountError> {
        let fd = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| {
            MountError::new("open a file system of type", Path::new(kind), errno)
        })?;
        Ok(Self {
            fd,
            kind: kind.to_owned(),
        })
    }

    /// Sets a parameter.
    pub(crate) fn set(&self, key: &str, value: Option<&str>) -> Result<(), MountError> {
        match value {
            Some(value) => fsconfig_set_string(&self.fd, key, value),
            None => fsconfig_set_flag(&self.fd, key),
        }
        .map_err(|errno| {
            self.failed(
                &[key, value.unwrap_or_default()].join(if value.is_some() { "=" } else { "" }),
                errno,
            )
        })
    }

    /// Sets a parameter to a path.
    pub(crate) fn set_path(&self, key: &str, value: &Path) -> Result<(), MountError> {
        fsconfig_set_string(&self.fd, key, value)
            .map_err(|errno| self.failed(&format!("{key}={}", value.display()), errno))
    }

    /// Sets a parameter to what a descriptor refers to; `path` names it in errors.
    pub(crate) fn set_fd(
        &self,
        key: &str,
        value: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<(), MountError> {
        fsconfig_set_fd(&self.fd, key, value)
            .map_err(|errno| self.failed(&format!("{key}={}", path.display()), errno))
    }

    /// Makes the file system and a detached mount of it.
    pub(crate) fn mount(self, attributes: u64) -> Result<OwnedFd, MountError> {
        fsconfig_create(&self.fd).map_err(|errno| self.failed("create", errno))?;
        let attributes =
            MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or(u32::MAX));
        fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.failed("mount", errno))
    }

    /// The failure, with what the kernel wrote about it to the context's own log.
    fn failed(&self, what: &str, errno: Errno) -> MountError {
        let mut explanation = String::new();
        let mut line = [0; 512];
        while let Ok(length @ 1..) = rustix::io::read(self.fd.as_fd(), &mut line) {
            let text = String::from_utf8_lossy(line.get(..length).unwrap_or_default());
            explanation.push_str(text.get(2..).unwrap_or_default().trim_end());
            explanation.push_str("; ");
        }
        let subject = format!(
            "{} ({what}{}{})",
            self.kind,
            if explanation.is_empty() { "" } else { "; " },
            explanation.trim_end_matches("; ")
        );
        MountError::new(
            "configure a file system of type",
            &PathBuf::from(subject),
            errno,
        )
    }
}

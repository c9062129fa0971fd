//! Directories that commands of builds keep what they fetched in: `RUN --mount=type=cache`.
//!
//! Nothing of an image is in them, and any may be removed at any time that nobody has it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::content::failed;
use super::step::Scratch;
use super::{ContentError, Store};
use crate::digest::Digest;

/// Whether several commands may have a cache at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They may.
    Shared,
    /// The second gets one of its own, which goes with it.
    Private,
    /// The second waits.
    Locked,
}

/// A cache, for as long as this lives.
#[derive(Debug)]
pub struct CacheLock {
    path: PathBuf,
    _lock: OwnedFd,
    _own: Option<Scratch>,
}

impl CacheLock {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// The cache of this name; a new one is made with these permission bits and this owner.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub async fn cache(
        &self,
        name: &str,
        sharing: Sharing,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<CacheLock, ContentError> {
        let store = self.clone();
        let path = self.content().cache_path(&Digest::of(name.as_bytes()));
        let work = move || store.lock_cache(path, sharing, mode, owner);
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn lock_cache(
        &self,
        path: PathBuf,
        sharing: Sharing,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<CacheLock, ContentError> {
        make(&path, mode, owner)?;
        let operation = match sharing {
            Sharing::Shared => FlockOperation::LockShared,
            Sharing::Private => FlockOperation::NonBlockingLockExclusive,
            Sharing::Locked => FlockOperation::LockExclusive,
        };
        let lock = open(&path)?;
        match rustix::fs::flock(&lock, operation) {
            Ok(()) => Ok(CacheLock {
                path,
                _lock: lock,
                _own: None,
            }),
            Err(Errno::WOULDBLOCK) => {
                let own = self.scratch()?;
                let path = own.path().join("cache");
                make(&path, mode, owner)?;
                Ok(CacheLock {
                    _lock: open(&path)?,
                    path,
                    _own: Some(own),
                })
            }
            Err(errno) => Err(failed("lock", &path)(errno.into())),
        }
    }

    /// Removes every cache that no command has. Waits for the disk.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn prune_caches(&self) -> Result<(), ContentError> {
        for path in self.content().caches()? {
            let is_free = open(&path).is_ok_and(|lock| {
                rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            });
            if is_free {
                drop(self.content().discard(&path));
            }
        }
        Ok(())
    }
}

fn make(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), ContentError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        answer => answer.map_err(failed("make", path))?,
    }
    let described = rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        .and_then(|()| rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))));
    described.map_err(|errno| failed("set mode of", path)(errno.into()))
}

fn open(path: &Path) -> Result<OwnedFd, ContentError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed("open", path)(errno.into()))
}

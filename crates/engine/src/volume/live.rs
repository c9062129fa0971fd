//! Volumes that are attached to, and detached from, an instance while it runs.
//!
//! What is mounted in it stands in its origin's record, what is to be in its specification; the
//! record is written after the mounts were changed, and each change may be made twice.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::ProjectId;
use model::container::{Mount, MountSource};
use model::instance::{Failure, FailureKind, Instance};
use runtime::disk::Disk;
use runtime::insertion::{self, InsertionError, Shown};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::VolumeError;
use super::resolve::of_volume;
use crate::directory::Directories;
use crate::failure::failure;
use crate::host::Inner;
use crate::instance::on_thread;
use crate::root::DetachError;
use crate::spec::mount::What;

/// Why the volumes of a running instance could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemountError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("attach the volume at {target}")]
    Detached { target: String, source: DetachError },
    #[error(
        "the volume at {target} is a file system that begins with the container; stop it first"
    )]
    NotLive { target: String },
    #[error("find process 1 of the container")]
    Process(#[source] Errno),
    #[error("look at the volume at {target}")]
    Look { target: String, source: Errno },
    #[error("look at the volume at {target}")]
    Disk {
        target: String,
        source: runtime::disk::DiskError,
    },
    #[error("attach the volume at {target}")]
    Insert {
        target: String,
        source: InsertionError,
    },
    #[error("detach the volume at {target}")]
    Withdraw {
        target: String,
        source: InsertionError,
    },
}

impl RemountError {
    fn into_failure(self) -> Failure {
        let kind = match self {
            Self::Volume(error) => return error.into_failure(),
            Self::Withdraw {
                source: InsertionError::Busy(_),
                ..
            } => FailureKind::Conflict,
            Self::NotLive { .. }
            | Self::Insert {
                source: InsertionError::Place { .. } | InsertionError::Mount(_),
                ..
            } => FailureKind::Invalid,
            Self::Detached { .. }
            | Self::Process(_)
            | Self::Look { .. }
            | Self::Disk { .. }
            | Self::Insert { .. }
            | Self::Withdraw { .. } => FailureKind::Internal,
        };
        failure(kind, &self)
    }
}

impl Inner {
    /// Mounts what an instance that runs is to have of volumes, and unmounts what it is not.
    pub(crate) async fn remount(
        &self,
        instance: &Instance,
        wanted: &[Mount],
    ) -> Result<(), Failure> {
        let id = instance.meta.id;
        let before = self.origin(id)?.mounts;
        let is_volume = |mount: &&Mount| matches!(mount.source, MountSource::Volume { .. });
        let missing_from = |all: &[Mount], from: &[Mount]| -> Vec<Mount> {
            let missing = all.iter().filter(|mount| !from.contains(mount));
            missing.filter(is_volume).cloned().collect()
        };
        let (added, removed) = (missing_from(wanted, &before), missing_from(&before, wanted));
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let Some(pid) = self.runs.running(id).and_then(|live| live.pid()) else {
            return Ok(());
        };
        let directories = self.directories.clone();
        let project = instance.meta.project;
        let changed = on_thread(move || {
            change(&directories, project, pid, &added, &removed).map_err(RemountError::into_failure)
        })
        .await;
        // One that ended meanwhile has no mounts, and gets them at its next start.
        if changed.is_err() && self.runs.running(id).is_none() {
            return Ok(());
        }
        changed
    }
}

fn change(
    directories: &Directories,
    project: ProjectId,
    pid: u32,
    added: &[Mount],
    removed: &[Mount],
) -> Result<(), RemountError> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = pid
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .map_err(RemountError::Process)?;
    for mount in removed {
        withdraw(directories, project, &process, mount)?;
    }
    for mount in added {
        insert(directories, project, &process, mount)?;
    }
    Ok(())
}

fn what(
    directories: &Directories,
    project: ProjectId,
    mount: &Mount,
) -> Result<What, RemountError> {
    let MountSource::Volume { name, subpath, .. } = &mount.source else {
        return Err(RemountError::NotLive {
            target: mount.target.clone(),
        });
    };
    Ok(of_volume(directories, project, name, subpath)?)
}

fn insert(
    directories: &Directories,
    project: ProjectId,
    process: &OwnedFd,
    mount: &Mount,
) -> Result<(), RemountError> {
    let target = || mount.target.clone();
    let detached = crate::root::detached(&what(directories, project, mount)?, mount.read_only)
        .ok_or_else(|| RemountError::NotLive { target: target() })?
        .map_err(|source| RemountError::Detached {
            target: target(),
            source,
        })?;
    insertion::insert(process.as_fd(), detached.as_fd(), Path::new(&mount.target)).map_err(
        |source| RemountError::Insert {
            target: target(),
            source,
        },
    )
}

fn withdraw(
    directories: &Directories,
    project: ProjectId,
    process: &OwnedFd,
    mount: &Mount,
) -> Result<(), RemountError> {
    let Some(shown) = shown(&what(directories, project, mount)?, &mount.target)? else {
        return Ok(());
    };
    let withdrawn = insertion::withdraw(process.as_fd(), shown, Path::new(&mount.target));
    withdrawn.map_err(|source| RemountError::Withdraw {
        target: mount.target.clone(),
        source,
    })
}

/// What the mount of a volume shows; `None` where it is mounted nowhere.
fn shown(what: &What, target: &str) -> Result<Option<Shown>, RemountError> {
    let failed = |source| RemountError::Disk {
        target: target.to_owned(),
        source,
    };
    let detached = match what {
        What::Disk { image } if Disk::find(image).map_err(failed)?.is_none() => return Ok(None),
        what => crate::root::detached(what, false),
    };
    let Some(detached) = detached else {
        return Err(RemountError::NotLive {
            target: target.to_owned(),
        });
    };
    let detached = detached.map_err(|source| RemountError::Detached {
        target: target.to_owned(),
        source,
    })?;
    insertion::shown(detached.as_fd())
        .map(Some)
        .map_err(|source| RemountError::Look {
            target: target.to_owned(),
            source,
        })
}

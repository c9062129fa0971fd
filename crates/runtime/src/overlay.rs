//! Root file systems out of layers: overlay mounts of any number of layers, by the new mount
//! interface (one `lowerdir+` a layer, so that no path is quoted and no list grows too long).
//!
//! The mounts are detached. A container attaches its own in its mount namespace; the engine reads
//! the files of a stopped container through one that is never attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::mounts::filesystem::FileSystem;
use crate::mounts::options::Recursion;
use crate::mounts::{MountError, clone_tree};
use crate::sys::identity::as_file_owner;
use crate::sys::mount::{Attributes, set_attributes};

/// Why an overlay could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("mount an overlay of {layers} layers")]
pub struct OverlayError {
    /// How many read-only layers there were.
    pub layers: usize,
    /// What failed.
    source: MountError,
}

/// A detached overlay mount of a container's layers (`lower`, the topmost first) and what it wrote
/// (`upper`, `work`).
///
/// The descriptor is its root directory; the mount ends when it is closed. With `upper` in use by
/// a running container the result is undefined: ask the container instead.
///
/// # Errors
/// When a directory is missing or the kernel refuses.
pub fn detached(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd, OverlayError> {
    open(lower, upper, work, None).map_err(|source| OverlayError {
        layers: lower.len(),
        source,
    })
}

/// A user namespace by whose mapping the ids on disk appear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdMapping<'fd> {
    pub(crate) users: BorrowedFd<'fd>,
    /// The host's user and group id of its root.
    pub(crate) root: (u32, u32),
}

/// As [`detached`]; with `id_mapping`, ids on disk appear mapped.
pub(crate) fn open(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    id_mapping: Option<IdMapping<'_>>,
) -> Result<OwnedFd, MountError> {
    let system = FileSystem::open("overlay")?;
    match id_mapping {
        None => {
            for layer in lower {
                system.set_path("lowerdir+", layer)?;
            }
            system.set_path("upperdir", upper)?;
            system.set_path("workdir", work)?;
            system.mount(0)
        }
        Some(IdMapping {
            users,
            root: (uid, gid),
        }) => {
            // The mounts must live until the overlay holds its own references.
            let mut mapped = Vec::with_capacity(lower.len() + 1);
            for layer in lower {
                let mount = clone_mapped(layer, users)?;
                system.set_fd("lowerdir+", mount.as_fd(), layer)?;
                mapped.push(mount);
            }
            // Both must be of one mount: so their common parent is mapped, and they are looked up in it.
            let common = upper
                .parent()
                .filter(|parent| work.parent() == Some(parent));
            let common =
                common.ok_or_else(|| MountError::new("map the ids of", upper, Errno::XDEV))?;
            let parent = clone_mapped(common, users)?;
            for (key, path) in [("upperdir", upper), ("workdir", work)] {
                let name = path.file_name().unwrap_or_default();
                let fd = fs::openat(&parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|errno| MountError::new("open", path, errno))?;
                system.set_fd(key, fd.as_fd(), path)?;
                mapped.push(fd);
            }
            // The overlay writes as whoever mounts it; the host's root is nobody in a mapped upper layer.
            as_file_owner(uid, gid, || system.mount(0))
                .map_err(|errno| MountError::new("act as the owner of", upper, errno))?
        }
    }
}

fn clone_mapped(path: &Path, userns: BorrowedFd<'_>) -> Result<OwnedFd, MountError> {
    let mount = clone_tree(path, Recursion::No)?;
    let change = Attributes {
        id_mapping: Some(userns),
        ..Attributes::default()
    };
    set_attributes(mount.as_fd(), false, &change)
        .map_err(|errno| MountError::new("map the ids of", path, errno))?;
    Ok(mount)
}

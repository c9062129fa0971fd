//! Making a mounted tree the root directory of a process, and forgetting the old one.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{chroot, fchdir, pivot_root};

use crate::mounts::MountError;

/// Attaches a detached tree in this mount namespace, over the root directory, for [`enter`].
pub(crate) fn attach_over(tree: BorrowedFd<'_>) -> Result<(), MountError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", CWD, "/", flags)
        .map_err(|errno| MountError::new("mount the root over", Path::new("/"), errno))
}

/// Makes the attached tree the root and working directory, and takes the old root away.
///
/// With `pivot` false (`--no-pivot`, for hosts that run from an initial RAM disk, whose root cannot
/// be moved) the old root stays beneath, out of reach only for a container that may not mount.
pub(crate) fn enter(tree: BorrowedFd<'_>, pivot: bool) -> Result<(), MountError> {
    let refused = |attempt| move |errno: Errno| MountError::new(attempt, Path::new("/"), errno);
    fchdir(tree.as_fd()).map_err(refused("change into the new"))?;
    if pivot {
        // The old root comes to lie over the new one, and is taken off again.
        pivot_root(".", ".").map_err(refused("pivot to the new"))?;
        unmount(".", UnmountFlags::DETACH).map_err(refused("unmount the old"))?;
    } else {
        chroot(".").map_err(refused("change root to the new"))?;
    }
    rustix::process::chdir("/").map_err(refused("change into"))
}

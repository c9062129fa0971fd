//! Paths that a container cannot see, or cannot change (`linux.maskedPaths`, `linux.readonlyPaths`).
//!
//! What covers a path is ours: an empty read-only `tmpfs`, or the host's `/dev/null`, checked by
//! number and attached by descriptor, so that nothing in the image can take its place
//! (CVE-2025-31133).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rooted::Root;
use rustix::fs::{self, FileType};
use rustix::io::Errno;

use crate::devices::host_node;
use crate::mounts::filesystem::FileSystem;
use crate::mounts::options::{Change, Recursion};
use crate::mounts::{MountError, attach, change, clone_mount};

/// A detached mount of the host's `/dev/null`, made while the host's paths are still there.
pub(crate) fn open_null() -> Result<OwnedFd, MountError> {
    let path = Path::new("/dev/null");
    let node = host_node(path, FileType::CharacterDevice, fs::makedev(1, 3))
        .map_err(|errno| MountError::new("open", path, errno))?;
    clone_mount(node.as_fd(), path)
}

/// Covers paths: files by `null`, directories by an empty one. Missing ones are passed over, as they
/// are by every runtime.
///
/// The first of either kind is attached, the others are copies of it: file systems are dear, mounts
/// of them are not, and only what is attached can be copied on every kernel.
pub(crate) fn mask(root: &Root, paths: &[String], null: OwnedFd) -> Result<(), MountError> {
    let (mut null, mut attached_null) = (Some(null), None);
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let path = Path::new(path);
        let Some(place) = existing(root, path)? else {
            continue;
        };
        let stat = fs::fstat(&place).map_err(|errno| MountError::new("look at", path, errno))?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let first = if is_directory {
            &mut empty
        } else {
            &mut attached_null
        };
        if let Some(first) = first {
            let copy = clone_mount(first.as_fd(), path)?;
            attach(copy.as_fd(), place.as_fd(), path)?;
            continue;
        }
        let cover = match null.take_if(|_| !is_directory) {
            Some(null) => null,
            None => empty_directory()?,
        };
        attach(cover.as_fd(), place.as_fd(), path)?;
        *first = Some(cover);
    }
    Ok(())
}

/// Makes paths read-only, with what is mounted below them. Missing ones are passed over.
pub(crate) fn protect(root: &Root, paths: &[String]) -> Result<(), MountError> {
    for path in paths {
        let path = Path::new(path);
        let Some(place) = existing(root, path)? else {
            continue;
        };
        let mount = clone_below(&place, path)?;
        change(
            mount.as_fd(),
            Recursion::Yes,
            Change {
                set: libc::MOUNT_ATTR_RDONLY,
                clear: 0,
            },
            path,
        )?;
        attach(mount.as_fd(), place.as_fd(), path)?;
    }
    Ok(())
}

fn existing(root: &Root, path: &Path) -> Result<Option<OwnedFd>, MountError> {
    match root.resolve(path) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.source, Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(MountError::Place(error)),
    }
}

fn empty_directory() -> Result<OwnedFd, MountError> {
    let system = FileSystem::open("tmpfs")?;
    system.set("mode", Some("755"))?;
    system.set("size", Some("0"))?;
    system.set("nr_inodes", Some("1"))?;
    system.mount(
        libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC,
    )
}

fn clone_below(place: &OwnedFd, path: &Path) -> Result<OwnedFd, MountError> {
    use rustix::mount::{OpenTreeFlags, open_tree};
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(place, "", flags).map_err(|errno| MountError::new("bind", path, errno))
}

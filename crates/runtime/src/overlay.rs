//! Root file systems out of layers: overlay mounts of any number of layers.
//!
//! The mounts are detached. A container attaches its own in its mount namespace; the engine reads
//! the files of a stopped container through one that is never attached. They are made by the new
//! mount interface (one `lowerdir+` a layer, so that no path is quoted and no list grows too long),
//! and on kernels that lack it in [`one_page`].

mod one_page;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rooted::Root;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::kernel::{self, Version};
use crate::mounts::filesystem::FileSystem;
use crate::mounts::options::Recursion;
use crate::mounts::{MountError, clone_mount, clone_tree};
use crate::sys::identity::as_file_owner;
use crate::sys::mount::{Attributes, set_attributes};

/// The first kernel with `lowerdir+`; older ones accept the key and then fail.
const ONE_BY_ONE: Version = Version(6, 7);
/// The first kernel that takes layers from mounts which are attached nowhere, and copies parts of them.
const FROM_DETACHED: Version = Version(6, 15);

/// Why an overlay could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("mount an overlay of {layers} layers")]
pub struct OverlayError {
    /// How many read-only layers there were.
    pub layers: usize,
    /// What failed.
    source: MountError,
}

/// Where an overlay keeps what is written: two directories of one file system.
#[derive(Clone, Copy, Debug)]
pub struct Writable<'path> {
    /// What was written.
    pub upper: &'path Path,
    /// The kernel's scratch directory.
    pub work: &'path Path,
}

/// Has the kernel load the file system where it is a module, before anything needs it.
///
/// Otherwise the first mount does; of several first ones at the same moment, all but one may be
/// told that there is no such file system.
///
/// # Errors
/// When the kernel has none.
pub fn load() -> Result<(), OverlayError> {
    FileSystem::open("overlay")
        .map(drop)
        .map_err(|source| OverlayError { layers: 0, source })
}

/// A detached overlay mount of a container's layers (`lower`, the topmost first, at least two
/// where nothing is `writable`). Devices and set-user-id bits have no effect in it.
///
/// The descriptor is its root directory; the mount ends when it is closed. With `writable` in use
/// by a running container the result is undefined: ask the container instead.
///
/// # Errors
/// When a directory is missing or the kernel refuses.
pub fn detached(
    lower: &[PathBuf],
    writable: Option<Writable<'_>>,
) -> Result<OwnedFd, OverlayError> {
    let mount = || {
        let mount = if kernel::version() < ONE_BY_ONE {
            // It changes its mount namespace, which no other thread is to share.
            std::thread::scope(|scope| {
                match scope.spawn(|| one_page::open(lower, writable, None)).join() {
                    Ok(mount) => mount,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            })
        } else {
            one_by_one(lower, writable)
        }?;
        restrict(mount)
    };
    mount().map_err(|source| OverlayError {
        layers: lower.len(),
        source,
    })
}

/// A detached mount of what is at `part` in an image's layers, as [`detached`] mounts all of them;
/// an empty `part` is all of it.
///
/// # Errors
/// When `part` is missing or leads outside, or the kernel refuses.
pub fn detached_part(lower: &[PathBuf], part: &Path) -> Result<OwnedFd, OverlayError> {
    let mount = || restrict(open_part(lower, part, None)?);
    // As for [`detached`].
    let mounted = std::thread::scope(|scope| match scope.spawn(mount).join() {
        Ok(mounted) => mounted,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    mounted.map_err(|source| OverlayError {
        layers: lower.len(),
        source,
    })
}

/// Takes devices and set-user-id bits their effect.
fn restrict(mount: OwnedFd) -> Result<OwnedFd, MountError> {
    let harmless = Attributes {
        set: libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSUID,
        ..Attributes::default()
    };
    set_attributes(mount.as_fd(), false, &harmless)
        .map_err(|errno| MountError::new("restrict", Path::new("overlay"), errno))?;
    Ok(mount)
}

/// A user namespace by whose mapping the ids on disk appear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdMapping<'fd> {
    pub(crate) users: BorrowedFd<'fd>,
    /// The host's user and group id of its root.
    pub(crate) root: (u32, u32),
}

/// The root of a container, or without `writable` an image, for a process with one thread; with
/// `id_mapping`, ids on disk appear mapped.
pub(crate) fn open(
    lower: &[PathBuf],
    writable: Option<Writable<'_>>,
    id_mapping: Option<IdMapping<'_>>,
) -> Result<OwnedFd, MountError> {
    let version = kernel::version();
    match id_mapping {
        None if version >= ONE_BY_ONE => one_by_one(lower, writable),
        Some(mapping) if version >= FROM_DETACHED => mapped_one_by_one(lower, writable, mapping),
        _ => one_page::open(lower, writable, id_mapping),
    }
}

/// What is at `part` in an image, as [`open`] opens all of it; an empty `part` is all of it.
pub(crate) fn open_part(
    lower: &[PathBuf],
    part: &Path,
    id_mapping: Option<IdMapping<'_>>,
) -> Result<OwnedFd, MountError> {
    let image = open(lower, None, id_mapping)?;
    if part.as_os_str().is_empty() {
        return Ok(image);
    }
    if kernel::version() >= FROM_DETACHED {
        cut(image, part)
    } else {
        cut_attached(image, part)
    }
}

/// As [`cut`], for kernels that copy only what is attached.
fn cut_attached(image: OwnedFd, part: &Path) -> Result<OwnedFd, MountError> {
    one_page::in_own_namespace(|| {
        one_page::cover(Path::new("/"), &image)?;
        cut(image, part)
    })
}

/// A mount of what is at a path of an image.
fn cut(image: OwnedFd, part: &Path) -> Result<OwnedFd, MountError> {
    // The mount ends with its descriptor, and what is found in it is copied before.
    let image = Root::from_fd(image);
    let found = image.beneath(part).map_err(|error| match error.source {
        Errno::XDEV => MountError::OutsideImage(part.to_owned()),
        Errno::NOENT | Errno::NOTDIR => MountError::NotInImage(part.to_owned()),
        errno => MountError::new("look in the image for", part, errno),
    })?;
    clone_mount(found.as_fd(), part)
}

fn one_by_one(lower: &[PathBuf], writable: Option<Writable<'_>>) -> Result<OwnedFd, MountError> {
    let system = FileSystem::open("overlay")?;
    for layer in lower {
        system.set_path("lowerdir+", layer)?;
    }
    if let Some(Writable { upper, work }) = writable {
        system.set_path("upperdir", upper)?;
        system.set_path("workdir", work)?;
    }
    system.mount(0)
}

fn mapped_one_by_one(
    lower: &[PathBuf],
    writable: Option<Writable<'_>>,
    mapping: IdMapping<'_>,
) -> Result<OwnedFd, MountError> {
    let IdMapping {
        users,
        root: (uid, gid),
    } = mapping;
    let system = FileSystem::open("overlay")?;
    // The mounts must live until the overlay holds its own references.
    let mut mapped = Vec::with_capacity(lower.len() + 1);
    for layer in lower {
        let mount = clone_mapped(layer, users)?;
        system.set_fd("lowerdir+", mount.as_fd(), layer)?;
        mapped.push(mount);
    }
    let Some(writable) = writable else {
        return system.mount(0);
    };
    let Writable { upper, work } = writable;
    let parent = clone_mapped(writable.parent()?, users)?;
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

impl<'path> Writable<'path> {
    /// Both must be of one mount: so their common parent is mapped, and they are looked up in it.
    fn parent(self) -> Result<&'path Path, MountError> {
        self.upper
            .parent()
            .filter(|parent| self.work.parent() == Some(parent))
            .ok_or_else(|| MountError::new("map the ids of", self.upper, Errno::XDEV))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_image_are_found_in_it_only() {
        let directory = tempfile::tempdir().unwrap();
        let layer = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.join("deep")).unwrap();
            std::fs::write(path.join("deep").join(name), name).unwrap();
            path
        };
        let lower = [layer("top"), layer("bottom")];
        std::os::unix::fs::symlink("deep", lower[0].join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", lower[0].join("out")).unwrap();
        let ways = [cut as fn(_, &_) -> _, cut_attached];
        for cut in ways {
            let look = |part: &str| {
                let image = open(&lower, None, None).unwrap();
                let cut = || cut(image, Path::new(part));
                // A namespace is left and entered, which no other thread is to share.
                std::thread::scope(|scope| scope.spawn(cut).join().unwrap())
            };
            let part = look("in").unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let listing = fs::openat(&part, ".", flags, Mode::empty()).unwrap();
            assert_eq!(rooted::names(&listing).unwrap(), ["bottom", "top"]);
            let refused = look("out").unwrap_err();
            assert!(matches!(refused, MountError::OutsideImage(_)), "{refused}");
            let refused = look("nothing").unwrap_err();
            assert!(matches!(refused, MountError::NotInImage(_)), "{refused}");
        }
    }
}

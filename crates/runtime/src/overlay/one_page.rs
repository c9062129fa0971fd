//! Overlay mounts on kernels before 6.7, and id-mapped ones before 6.15.
//!
//! There all layers go into one option, and all options into one page. So each directory is
//! opened and named by its descriptor, which is short and needs no quotes: a page has room for
//! more than 200. Such a kernel takes layers only from mounts of its caller's mount namespace, and
//! mounts only at a path: both happen in a namespace made for it, which is left again.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::{IdMapping, Writable, clone_mapped};
use crate::mounts::options::Recursion;
use crate::mounts::{MountError, attach, clone_tree, set_propagation};
use crate::sys::identity::as_file_owner;
use crate::sys::namespace::unshare;

/// What the kernel copies of the options; the last byte ends them.
const PAGE_BYTES: usize = 4096;
/// The mount namespace of this thread.
const NAMESPACE: &str = "/proc/thread-self/ns/mnt";

/// A detached mount, as [`super::open`] and [`super::detached`] make them. The working directory
/// of this thread becomes `/`, if it shares it with no other thread, and else nothing works.
pub(super) fn open(
    lower: &[PathBuf],
    writable: Option<Writable<'_>>,
    id_mapping: Option<IdMapping<'_>>,
) -> Result<OwnedFd, MountError> {
    in_own_namespace(|| open_here(lower, writable, id_mapping))
}

/// Does something in a mount namespace that nobody else sees, whose mounts go nowhere. As for
/// [`open`], its thread must share its working directory with no other one.
pub(super) fn in_own_namespace(
    act: impl FnOnce() -> Result<OwnedFd, MountError>,
) -> Result<OwnedFd, MountError> {
    let failed = |attempt| move |errno| MountError::new(attempt, Path::new(NAMESPACE), errno);
    let home = fs::open(NAMESPACE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open"))?;
    unshare(UnshareFlags::NEWNS).map_err(failed("copy"))?;
    let mounted = apart().and_then(|()| act());
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(failed("return to"))?;
    mounted
}

fn apart() -> Result<(), MountError> {
    let slash = Path::new("/");
    set_propagation(
        open_path(slash)?.as_fd(),
        libc::MS_PRIVATE,
        Recursion::Yes,
        slash,
    )
}

/// Attaches a detached mount over a directory.
pub(super) fn cover(path: &Path, mount: &OwnedFd) -> Result<(), MountError> {
    attach(mount.as_fd(), open_path(path)?.as_fd(), path)
}

/// In a mount namespace that nobody else sees.
fn open_here(
    lower: &[PathBuf],
    writable: Option<Writable<'_>>,
    id_mapping: Option<IdMapping<'_>>,
) -> Result<OwnedFd, MountError> {
    if let Some(IdMapping { users, .. }) = id_mapping {
        let parent = writable.map(Writable::parent).transpose()?;
        for path in lower.iter().map(PathBuf::as_path).chain(parent) {
            let mapped = clone_mapped(path, users)?;
            cover(path, &mapped)?;
        }
    }
    let mut opened = Vec::with_capacity(lower.len() + 2);
    let mut name = |path: &Path| -> Result<String, MountError> {
        let fd = open_path(path)?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        opened.push(fd);
        Ok(name)
    };
    let layers: Vec<String> = lower
        .iter()
        .map(|path| name(path))
        .collect::<Result<_, _>>()?;
    let mut options = format!("lowerdir={}", layers.join(":"));
    if let Some(Writable { upper, work }) = writable {
        options += &format!(",upperdir={},workdir={}", name(upper)?, name(work)?);
    }
    // Any directory would do: nobody else sees that it is covered.
    let place = lower.first().map_or(Path::new("/"), PathBuf::as_path);
    if options.len() >= PAGE_BYTES {
        return Err(MountError::new("name all layers for", place, Errno::TOOBIG));
    }
    let options = CString::new(options)
        .map_err(|_| MountError::new("mount an overlay on", place, Errno::INVAL))?;
    let make = || mount("overlay", place, "overlay", MountFlags::empty(), &*options);
    let made = match id_mapping {
        None => make(),
        // As for the newer kernels: the host's root is nobody in a mapped upper layer.
        Some(IdMapping {
            root: (uid, gid), ..
        }) => as_file_owner(uid, gid, make).unwrap_or_else(Err),
    };
    made.map_err(|errno| MountError::new("mount an overlay on", place, errno))?;
    clone_tree(place, Recursion::No)
}

fn open_path(path: &Path) -> Result<OwnedFd, MountError> {
    fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| MountError::new("open", path, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes directories, each with a file of its own and one that all have.
    fn layers(directory: &Path, count: usize) -> Vec<PathBuf> {
        let layer = |number: usize| {
            // What the kernel would have to be quoted.
            let path = directory.join(format!("layer:,\\{number}"));
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join(format!("own{number}")), "").unwrap();
            std::fs::write(path.join("number"), number.to_string()).unwrap();
            path
        };
        (0..count).map(layer).collect()
    }

    fn read(root: &OwnedFd, name: &str) -> String {
        let fd = fs::openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        std::io::read_to_string(std::fs::File::from(fd)).unwrap()
    }

    #[test]
    fn more_layers_than_any_image_has_fit() {
        let directory = tempfile::tempdir().unwrap();
        let lower = layers(directory.path(), 130);
        let (upper, work) = (
            directory.path().join("upper"),
            directory.path().join("work"),
        );
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&work).unwrap();
        let writable = Writable {
            upper: &upper,
            work: &work,
        };
        let mount = || open(&lower, Some(writable), None).unwrap();
        let root = std::thread::scope(|scope| scope.spawn(mount).join().unwrap());
        assert_eq!(read(&root, "number"), "0");
        assert_eq!(read(&root, "own129"), "");
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        fs::openat(&root, "new", flags, Mode::RUSR).unwrap();
        assert!(upper.join("new").exists());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(directory.path().to_str().unwrap()));
    }

    #[test]
    fn too_many_layers_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let lower = layers(directory.path(), 300);
        let mount = || open(&lower, None, None);
        let refused = std::thread::scope(|scope| scope.spawn(mount).join().unwrap());
        assert!(matches!(
            refused,
            Err(MountError::Refused {
                source: Errno::TOOBIG,
                ..
            })
        ));
    }
}

//! A view of an instance's root file system from outside: of a running one through its process, of
//! a stopped one through an overlay mount that is attached nowhere and goes with its descriptor.
//!
//! Looking up users, copying archives and filling volumes use it. What is found behind it is
//! hostile, so it is a [`rooted::Root`].

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rooted::{Root, RootedError};
use runtime::disk::Disk;
use runtime::overlay::{self, OverlayError, Writable};
use rustix::fs::{self, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::spec::mount::{Wanted, What};

/// Why a root file system cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("open the root of process {pid}")]
    Process { pid: u32, source: RootedError },
    #[error("mount at {target}")]
    Attach { target: String, source: Errno },
    #[error("mount at {target}")]
    Disk {
        target: String,
        source: runtime::disk::DiskError,
    },
    #[error("mount at {target}")]
    Image {
        target: String,
        source: OverlayError,
    },
    #[error("look into an instance that does not run")]
    Layers(#[source] OverlayError),
}

/// Layers of a root file system.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    /// Read-only ones, the topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// The writable one and the kernel's scratch directory; without it all is read-only.
    pub(crate) writable: Option<(PathBuf, PathBuf)>,
}

/// The root as a process sees it, with its mounts.
pub(crate) fn of_process(pid: u32) -> Result<Root, RootError> {
    Root::open(&PathBuf::from(format!("/proc/{pid}/root")))
        .map_err(|source| RootError::Process { pid, source })
}

/// The root that these layers make, without any mount in it.
pub(crate) fn of_layers(layers: &Layers) -> Result<Root, RootError> {
    let writable = layers.writable.as_ref();
    let writable = writable.map(|(upper, work)| Writable { upper, work });
    let mount = overlay::detached(&layers.lower, writable).map_err(RootError::Layers)?;
    Ok(Root::from_fd(mount))
}

/// Makes volumes, bind mounts and images visible in a root that no process has.
///
/// Left out are file systems of memory, which are empty without a process, and everything where
/// the kernel cannot mount in a tree that is attached nowhere (before 6.15).
pub(crate) fn attach(root: &Root, mounts: &[Wanted]) -> Result<(), RootError> {
    let mut mounts: Vec<&Wanted> = mounts.iter().collect();
    mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
    for mount in mounts {
        let failed = |source| RootError::Attach {
            target: mount.target.clone(),
            source,
        };
        let tree = match detached(&mount.what, false) {
            Some(Ok(tree)) => tree,
            Some(Err(DetachError::Refused(errno))) => return Err(failed(errno)),
            Some(Err(DetachError::Disk(source))) => {
                return Err(RootError::Disk {
                    target: mount.target.clone(),
                    source,
                });
            }
            Some(Err(DetachError::Image(source))) => {
                return Err(RootError::Image {
                    target: mount.target.clone(),
                    source,
                });
            }
            None => continue,
        };
        let target = Path::new(&mount.target);
        let is_directory =
            FileType::from_raw_mode(fs::fstat(&tree).map_err(failed)?.st_mode).is_dir();
        let place = if is_directory {
            root.create_dir_all(target, Mode::from_raw_mode(0o755))
        } else {
            root.create_file(target, Mode::from_raw_mode(0o644))
        };
        let place = place.map_err(|error| failed(error.source))?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        match move_mount(&tree, "", &place, "", flags) {
            Ok(()) => {}
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Why what a mount shows cannot be had apart from a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DetachError {
    #[error("bind")]
    Refused(#[source] Errno),
    #[error(transparent)]
    Disk(#[from] runtime::disk::DiskError),
    #[error(transparent)]
    Image(OverlayError),
}

/// What a mount shows, as a mount that is attached nowhere; `None` for what begins with the
/// container that has it.
pub(crate) fn detached(what: &What, read_only: bool) -> Option<Result<OwnedFd, DetachError>> {
    match what {
        What::Path {
            path,
            non_recursive,
            ..
        } => {
            let recursion = if *non_recursive {
                OpenTreeFlags::empty()
            } else {
                OpenTreeFlags::AT_RECURSIVE
            };
            let flags =
                OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | recursion;
            let tree = open_tree(CWD, path, flags).map_err(DetachError::Refused);
            Some(tree.and_then(|tree| {
                if read_only {
                    runtime::insertion::make_read_only(tree.as_fd())
                        .map_err(DetachError::Refused)?;
                }
                Ok(tree)
            }))
        }
        What::Disk { image } => {
            let mount = Disk::open(image).and_then(|disk| disk.mount(read_only));
            Some(mount.map_err(DetachError::Disk))
        }
        What::Image { layers, subpath } => {
            let mount = overlay::detached_part(layers, subpath);
            Some(mount.map_err(DetachError::Image))
        }
        What::FileSystem { .. } | What::Tmpfs { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::OFlags;
    use std::io::Read;

    #[test]
    fn upper_layers_hide_lower_ones_and_nothing_is_mounted_on_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let layer = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), text).unwrap();
            path
        };
        let layers = Layers {
            lower: vec![layer("top", "top"), layer("bottom", "bottom")],
            writable: None,
        };
        let root = of_layers(&layers).unwrap();
        let fd = root
            .open_at(Path::new("/file"), OFlags::RDONLY, Mode::empty())
            .unwrap();
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "top");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(directory.path().to_str().unwrap()));
    }
}

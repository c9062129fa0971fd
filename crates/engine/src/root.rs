//! A view of an instance's root file system from outside: of a running one through its process, of
//! a stopped one through an overlay mount that is attached nowhere and goes with its descriptor.
//!
//! Looking up users, copying archives and filling volumes use it. What is found behind it is
//! hostile, so it is a [`rooted::Root`].

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rooted::{Root, RootedError};
use rustix::fs::{self, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::spec::mount::{Wanted, What};

/// Why a root file system cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("open the root of process {pid}")]
    Process { pid: u32, source: RootedError },
    #[error("mount at {target}")]
    Attach { target: String, source: Errno },
    #[error("mount the layers, {attempt}")]
    Overlay { attempt: String, source: Errno },
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
    let failed = |attempt: &str, path: &Path| {
        let attempt = format!("{attempt} {}", path.display());
        move |source| RootError::Overlay { attempt, source }
    };
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(failed("open", Path::new("overlay")))?;
    set_lower(&overlay, &layers.lower)?;
    if let Some((upper, work)) = &layers.writable {
        let (upper_key, work_key) = ("upperdir", "workdir");
        fsconfig_set_string(&overlay, upper_key, upper.as_path())
            .map_err(failed(upper_key, upper))?;
        fsconfig_set_string(&overlay, work_key, work.as_path()).map_err(failed(work_key, work))?;
    }
    fsconfig_create(overlay.as_fd()).map_err(failed("create", Path::new("overlay")))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mount = fsmount(overlay.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(failed("mount", Path::new("overlay")))?;
    Ok(Root::from_fd(mount))
}

/// Makes volumes and bind mounts visible in a root that no process has.
///
/// Left out are file systems of memory, which are empty without a process, and everything where
/// the kernel cannot mount in a tree that is attached nowhere (before 6.15).
pub(crate) fn attach(root: &Root, mounts: &[Wanted]) -> Result<(), RootError> {
    let mut mounts: Vec<&Wanted> = mounts.iter().collect();
    mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
    for mount in mounts {
        let What::Path {
            path,
            non_recursive,
            ..
        } = &mount.what
        else {
            continue;
        };
        let failed = |source| RootError::Attach {
            target: mount.target.clone(),
            source,
        };
        let recursion = if *non_recursive {
            OpenTreeFlags::empty()
        } else {
            OpenTreeFlags::AT_RECURSIVE
        };
        let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | recursion;
        let tree = open_tree(CWD, path, flags).map_err(failed)?;
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

/// One key for each layer, so that neither their number nor their characters matter; kernels
/// before 6.7 have the one key with colons only.
fn set_lower(overlay: &OwnedFd, lower: &[PathBuf]) -> Result<(), RootError> {
    for (index, layer) in lower.iter().enumerate() {
        match fsconfig_set_string(overlay, "lowerdir+", layer.as_path()) {
            Ok(()) => {}
            Err(Errno::INVAL) if index == 0 => return set_lower_joined(overlay, lower),
            Err(source) => {
                return Err(RootError::Overlay {
                    attempt: format!("lowerdir {}", layer.display()),
                    source,
                });
            }
        }
    }
    Ok(())
}

fn set_lower_joined(overlay: &OwnedFd, lower: &[PathBuf]) -> Result<(), RootError> {
    let mut joined = Vec::new();
    for layer in lower {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in layer.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\' | b',') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    fsconfig_set_string(overlay, "lowerdir", joined.as_slice()).map_err(|source| {
        RootError::Overlay {
            attempt: format!("lowerdir of {} layers", lower.len()),
            source,
        }
    })
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

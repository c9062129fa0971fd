//! The container's own cgroup as files: a mount of type `cgroup` or `cgroup2`.
//!
//! Only the container's own directories are shown, never the host's tree. Read-only where the
//! specification says so, which is every container that is neither privileged nor has an init that
//! makes cgroups of its own; such an init is shown version 2 only, by `cgroup2`. A writable version
//! 1 hierarchy has `release_agent`, a way out (CVE-2022-0492).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rooted::Root;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::filesystem::FileSystem;
use super::options::{Change, Options, Recursion};
use super::{MountError, attach, change, clone_tree, mount_point};

/// Detached mounts of the container's directories, by name of the hierarchy (empty: version 2).
#[derive(Debug, Default)]
pub(crate) struct Hierarchies(pub(crate) Vec<(String, OwnedFd)>);

impl Hierarchies {
    /// Opens those that are there; needs the host's paths.
    pub(crate) fn open(visible: &[(String, PathBuf)]) -> Result<Self, MountError> {
        let mut opened = Vec::with_capacity(visible.len());
        for (name, path) in visible {
            match clone_tree(path, Recursion::No) {
                Ok(mount) => opened.push((name.clone(), mount)),
                // A version 1 hierarchy that the container has not joined.
                Err(MountError::Refused {
                    source: Errno::NOENT,
                    ..
                }) if !name.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(opened))
    }

    /// Attaches them: version 2 as it is, version 1 as directories in a small `tmpfs`.
    pub(crate) fn attach(
        self,
        root: &Root,
        destination: &Path,
        options: &Options,
    ) -> Result<(), MountError> {
        let place = mount_point(root, destination, true, false)?;
        if let [(name, only)] = self.0.as_slice()
            && name.is_empty()
        {
            attach(only.as_fd(), place.as_fd(), destination)?;
            return change(only.as_fd(), Recursion::No, options.attributes, destination);
        }
        let system = FileSystem::open("tmpfs")?;
        system.set("mode", Some("755"))?;
        system.set("size", Some("64k"))?;
        let base = system.mount(options.attributes.set & !libc::MOUNT_ATTR_RDONLY)?;
        attach(base.as_fd(), place.as_fd(), destination)?;
        let failed = |errno: Errno| MountError::new("lay out", destination, errno);
        for (name, hierarchy) in &self.0 {
            fs::mkdirat(&base, name.as_str(), Mode::from_raw_mode(0o755)).map_err(failed)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = fs::openat(&base, name.as_str(), flags, Mode::empty()).map_err(failed)?;
            attach(hierarchy.as_fd(), place.as_fd(), destination)?;
            if name.contains(',') {
                for controller in name.split(',') {
                    fs::symlinkat(name.as_str(), &base, controller).map_err(failed)?;
                }
            }
        }
        let wanted = Change {
            set: options.attributes.set,
            clear: options.attributes.clear,
        };
        change(base.as_fd(), Recursion::Yes, wanted, destination)
    }
}

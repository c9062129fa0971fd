//! Giving a container its own cgroup, to make further ones in.
//!
//! Only version 2 can be given: its limits are files that stay the host's, and all that is made
//! below them counts. A version 1 hierarchy has `release_agent`, a way out.

use std::path::Path;

use rustix::fs::{self, CWD, Gid, Uid};

use super::{Cgroup, CgroupError, read_optional};

/// What whoever is given a cgroup may write: cgroups(7), "Delegation by ... changing ownership".
const FILES: [&str; 4] = [
    ".",
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.subtree_control",
];

impl Cgroup {
    /// Makes its version 2 directory that of this user and group of the host.
    pub(crate) fn delegate(&self, user: u32, group: u32) -> Result<(), CgroupError> {
        let Some(directory) = self.v2_directory() else {
            return Ok(());
        };
        for file in FILES {
            let path = directory.join(file);
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            fs::chownat(CWD, &path, Some(user), Some(group), fs::AtFlags::empty())
                .map_err(|errno| CgroupError::refused("give away", &path, errno))?;
        }
        Ok(())
    }

    /// The version 2 cgroup for a further process of a container: its own, unless the container's
    /// init distributes that to cgroups below it, so that the kernel lets no process in; then the
    /// one that its init, process `first`, is in.
    pub(crate) fn beside(&self, first: u32) -> Result<Self, CgroupError> {
        let Some(directory) = self.v2_directory() else {
            return Ok(self.clone());
        };
        let distributed = read_optional(&directory.join("cgroup.subtree_control"))?;
        if distributed.is_none_or(|controllers| controllers.trim().is_empty()) {
            return Ok(self.clone());
        }
        let path = format!("/proc/{first}/cgroup");
        let known = read_optional(Path::new(&path))?.unwrap_or_default();
        let own = known.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.map(|own| rooted::normalized(Path::new(own)));
        Ok(Self {
            path: own
                .filter(|own| own.starts_with(&self.path))
                .unwrap_or_else(|| self.path.clone()),
            host: self.host,
        })
    }
}

//! The processes of a container: listing and signalling them.

use std::os::fd::AsFd as _;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Cgroup, CgroupError, children, read_optional, write};
use crate::sys::signals::send;

impl Cgroup {
    /// Ids of its processes and of those in cgroups below it, as this process sees them.
    ///
    /// # Errors
    /// When the kernel refuses to list them. A missing cgroup has none.
    pub fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        let directory = match &self.host.v2 {
            Some(mount) => mount.join(&self.path),
            None => match self.directory_of("memory") {
                Some(directory) => directory,
                None => return Ok(Vec::new()),
            },
        };
        let mut found = Vec::new();
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            let procs = directory.join("cgroup.procs");
            let Some(content) = read_optional(&procs)? else {
                continue;
            };
            for line in content.lines() {
                let id = line.parse().map_err(|_| CgroupError::Content {
                    path: procs.clone(),
                    content: line.to_owned(),
                })?;
                found.push(id);
            }
            let below = children(&directory)
                .map_err(|errno| CgroupError::refused("list cgroup", &directory, errno))?;
            pending.extend(below);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Sends a signal to all of its processes.
    ///
    /// With `SIGKILL`, on a kernel that can, at one stroke, so that no process escapes by forking.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self, signal: i32) -> Result<(), CgroupError> {
        if signal == libc::SIGKILL
            && let Some(directory) = self.v2_directory()
        {
            let path = directory.join("cgroup.kill");
            match write(&path, "1") {
                Ok(()) => return Ok(()),
                // Removed already, or a kernel before 5.14.
                Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => {
                    return Err(CgroupError::refused("kill the processes of", &path, errno));
                }
            }
        }
        for id in self.processes()? {
            let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
                continue;
            };
            match pidfd_open(pid, PidfdFlags::empty()).and_then(|pidfd| send(pidfd.as_fd(), signal))
            {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => {
                    return Err(CgroupError::refused(
                        "signal a process of",
                        &self.path,
                        errno,
                    ));
                }
            }
        }
        Ok(())
    }
}

//! Removes cgroups, of which the kernel refuses every one that is not empty.

use std::path::Path;

use rustix::fs;
use rustix::io::Errno;

use super::{Cgroup, CgroupError, children};

impl Cgroup {
    /// Removes it with the cgroups below it, and kills what processes are still in it; a missing one
    /// is no error. Never waits.
    ///
    /// `false` when killed processes are not gone yet: try again a little later.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn try_remove(&self) -> Result<bool, CgroupError> {
        let mut is_busy = false;
        for directory in self.directories() {
            match remove_tree(&directory) {
                Ok(()) => {}
                Err(Errno::BUSY) => is_busy = true,
                Err(errno) => return Err(CgroupError::refused("remove cgroup", &directory, errno)),
            }
        }
        if is_busy {
            self.kill(libc::SIGKILL)?;
        }
        Ok(!is_busy)
    }

    /// As [`Cgroup::try_remove`], but waits for killed processes.
    ///
    /// # Errors
    /// When they do not go away within half a second (`EBUSY`), or the kernel refuses.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for attempt in 0..9 {
            if self.try_remove()? {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1 << attempt));
        }
        Err(CgroupError::refused(
            "remove cgroup",
            &self.path,
            Errno::BUSY,
        ))
    }

    /// Removes it where nothing is in it, and leaves it where something is, in each hierarchy: for
    /// one that others share. A missing one is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_if_empty(&self) -> Result<(), CgroupError> {
        self.directories()
            .try_for_each(|directory| match fs::rmdir(&directory) {
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
                Err(errno) => Err(CgroupError::refused("remove cgroup", &directory, errno)),
            })
    }
}

fn remove_tree(directory: &Path) -> Result<(), Errno> {
    match fs::rmdir(directory) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(errno),
    }
    for child in children(directory)? {
        remove_tree(&child)?;
    }
    match fs::rmdir(directory) {
        Err(Errno::NOENT) => Ok(()),
        answer => answer,
    }
}

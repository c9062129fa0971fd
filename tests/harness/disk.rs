//! A small file system in memory, to be filled up.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A mounted file system. Dropping it unmounts it.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of this size at `path`, which is made.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(path)
            .status()
            .context("execute mount")?;
        ensure!(mounted.success(), "mount on {} failed", path.display());
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, so that it goes even where a failed test left something open on it.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        debug_assert!(
            unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "{} stays mounted",
            self.path.display()
        );
    }
}

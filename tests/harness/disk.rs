//! Small file systems in memory: to be filled up, or to lose what is written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A mounted file system. Dropping it unmounts it, and what it is made of.
pub struct Disk {
    path: PathBuf,
    _backing: Option<Box<Self>>,
}

impl Disk {
    /// Mounts one of this size at `path`, which is made.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let size = format!("size={bytes}");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], path)?;
        Ok(Self {
            path: path.to_owned(),
            _backing: None,
        })
    }

    /// Mounts one that says it has `shown` bytes and has `held`: beyond them every write succeeds, and
    /// fails when it is flushed. `backing` is made, for what it is made of.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub fn mount_that_loses(path: &Path, backing: &Path, shown: u64, held: u64) -> Result<Self> {
        let memory = Self::mount(backing, held)?;
        let image = backing.join("disk");
        File::create(&image)?.set_len(shown)?;
        // Its own tables are written now, and so are not lost; without a journal it stays writable.
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-N", "4096", "-O", "^has_journal"])
            .args(["-E", "nodiscard,lazy_itable_init=0"])
            .arg(&image)
            .status()
            .context("execute mkfs.ext4")?;
        ensure!(made.success(), "mkfs.ext4 failed");
        std::fs::create_dir_all(path)?;
        let image = image.to_str().context("path of the disk")?;
        mount(&["-o", "loop", image], path)?;
        Ok(Self {
            path: path.to_owned(),
            _backing: Some(Box::new(memory)),
        })
    }
}

fn mount(args: &[&str], path: &Path) -> Result<()> {
    let mounted = Command::new("mount")
        .args(args)
        .arg(path)
        .status()
        .context("execute mount")?;
    ensure!(mounted.success(), "mount on {} failed", path.display());
    Ok(())
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

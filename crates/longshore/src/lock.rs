//! One daemon per data directory: a locked file that holds its process id.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::Pid;

/// The lock, held until this is dropped or the process ends.
pub(crate) struct Lock {
    _file: File,
}

/// Where the lock of a data directory is.
fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.lock")
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another daemon holds it; the message has its process id.
    pub(crate) fn take(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                bail!(
                    "a daemon (process {}) runs in {} already; choose another --data-dir",
                    pid.trim(),
                    data_dir.display()
                );
            }
            Err(errno) => return Err(errno).with_context(|| format!("lock {}", path.display())),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// The process that holds the lock.
    ///
    /// # Errors
    /// When the lock cannot be looked at.
    pub(crate) fn holder(data_dir: &Path) -> Result<Option<Pid>> {
        let path = path(data_dir);
        let mut file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                Ok(pid.trim().parse().ok().and_then(Pid::from_raw))
            }
            Err(errno) => {
                Err(errno).with_context(|| format!("look at the lock {}", path.display()))
            }
        }
    }
}

//! The keeper as a process: how it begins, and how it goes on after an upgrade.
//!
//! What the hidden subcommand `keeper` of the binary calls. Needs a process with one thread.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::setsid;

use super::server::Server;
use super::upgrade::{self, ResumeError};
use super::{LOCK, SOCKET, socket};
use crate::rlimits;
use crate::sealed::{self, SealError};

/// Killed after everything else, but not never: a leak of its own must not take the host down.
const OOM_SCORE_ADJ: &str = "-999";

/// Why a keeper could not begin, or ended against its will.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its directory, lock or socket cannot be made.
    #[error("prepare {path}")]
    Prepare {
        /// Which file or directory.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Containers could write to this program.
    #[error("protect this program from containers")]
    Seal(#[from] SealError),
    /// The program before this one left nothing that can be taken over.
    #[error("take over from the keeper before")]
    Resume(#[from] ResumeError),
    /// The kernel refuses what the keeper cannot be without.
    #[error("wait for processes and clients")]
    Loop(#[source] io::Error),
}

/// Is the keeper of a directory until it is told to shut down. Answers at once if the directory
/// has a keeper already. Begins by executing its own program again, sealed.
///
/// # Errors
/// When it cannot begin, or the kernel fails it.
pub fn serve(dir: &Path) -> Result<(), ServeError> {
    sealed::run_from_sealed()?;
    let prepare = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::Prepare { path, source }
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(prepare(dir))?;
    let dir = &std::path::absolute(dir).map_err(prepare(dir))?;
    let lock_path = dir.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(prepare(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(source)) => return Err(prepare(&lock_path)(source)),
    }
    // A terminal's signals are for the daemon. Refused when it leads a session already.
    _ = setsid();
    drop(std::env::set_current_dir("/"));
    // Three or four a container.
    rlimits::raise_descriptors();
    outlive_containers();
    let path = dir.join(SOCKET);
    let listener = socket::listen(&path).map_err(prepare(&path))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(prepare(&path))?;
    run(Server::new(dir.clone(), lock, listener).map_err(ServeError::Loop)?)
}

/// Goes on as the keeper that executed this program in its place ([`super::Client::upgrade`]).
/// `state` is the number of the descriptor it left, as given after `--resume`.
///
/// # Errors
/// When what was left cannot be understood, or as [`serve`].
pub fn resume(state: RawFd) -> Result<(), ServeError> {
    let sealed = sealed::run_from_sealed();
    match upgrade::take_over(state)? {
        Some(server) => {
            // It could in the rehearsal. To end now would end every container.
            if let Err(error) = sealed {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "this program is not protected from containers"
                );
            }
            run(server)
        }
        None => Ok(sealed?),
    }
}

fn run(mut server: Server) -> Result<(), ServeError> {
    server.run().map_err(ServeError::Loop)?;
    // The lock goes last, so that the next keeper's socket is not removed.
    drop(std::fs::remove_file(server.dir.join(SOCKET)));
    Ok(())
}

/// Memory that containers use up is taken from them, not from the parent of them all. Needs a
/// privilege that root may lack; whoever starts containers says what they have instead.
fn outlive_containers() {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        tracing::debug!(%error, "the keeper is killed for want of memory like everyone else");
    }
}

//! Finds the keeper of a directory, or spawns it.
//!
//! The keeper leaves the daemon's session itself and holds a lock while it lives, so two daemons
//! that spawn at once get one keeper. Its standard error goes to `keeper.log`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Client, ConnectError, LOG, SOCKET};

/// A keeper answers within milliseconds; a machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Why there is no keeper to talk to.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// Its directory or log cannot be made.
    #[error("prepare {path} for the keeper")]
    Prepare {
        /// Which file or directory.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Its program cannot be executed.
    #[error("execute {exe} as the keeper")]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error("the keeper does not answer; {log} may say why")]
    Silent {
        /// Its log.
        log: PathBuf,
        /// The last attempt.
        #[source]
        source: ConnectError,
    },
}

/// Connects to the keeper of this directory. If none answers, executes
/// `exe keeper --dir DIR`, which must call [`super::serve`], and connects to that.
///
/// # Errors
/// When none can be reached in ten seconds.
pub async fn ensure(exe: &Path, dir: &Path) -> Result<Client, EnsureError> {
    let socket = dir.join(SOCKET);
    if let Ok(client) = Client::connect(&socket).await {
        return Ok(client);
    }
    let mut keeper = spawn(exe, dir)?;
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = keeper.try_wait().ok().flatten();
        let has_failed = ended.is_some_and(|status| !status.success());
        match Client::connect(&socket).await {
            Ok(client) => {
                if keeper.id() != Some(client.hello().pid) {
                    // Somebody else's was first. Ours must not become the keeper when that one ends.
                    drop(keeper.kill().await);
                }
                return Ok(client);
            }
            Err(source) if has_failed || Instant::now() > deadline => {
                return Err(EnsureError::Silent {
                    log: dir.join(LOG),
                    source,
                });
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        // It found another that holds the lock, which may have been about to end: a child of a
        // keeper that was killed has it, too, until it executes its program.
        if ended.is_some() {
            keeper = spawn(exe, dir)?;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Not waited for here: should it end before the daemon, tokio reaps it.
fn spawn(exe: &Path, dir: &Path) -> Result<Child, EnsureError> {
    let prepare = |path: &Path, source| EnsureError::Prepare {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(|source| prepare(dir, source))?;
    let log = dir.join(LOG);
    let stderr = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(|source| prepare(&log, source))?;
    let mut command = Command::new(exe);
    command.arg("keeper").arg("--dir").arg(dir).current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    command.spawn().map_err(|source| EnsureError::Spawn {
        exe: exe.to_owned(),
        source,
    })
}

//! Programs that a specification wants run along a container's life (`config.md`, "POSIX-platform
//! Hooks").

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// It could not be run.
    #[error("run {stage} hook {path}")]
    Run {
        stage: &'static str,
        path: String,
        source: std::io::Error,
    },
    /// It said so.
    #[error("{stage} hook {path} ended with {status}: {output}")]
    Failed {
        stage: &'static str,
        path: String,
        status: std::process::ExitStatus,
        output: String,
    },
    /// It took too long.
    #[error("{stage} hook {path} did not end within {seconds} s")]
    TimedOut {
        stage: &'static str,
        path: String,
        seconds: u64,
    },
}

/// Runs a hook, with the container's state on its standard input, to its end.
pub(crate) fn run(hook: &Hook, stage: &'static str, state: &str) -> Result<(), HookError> {
    use std::os::unix::process::CommandExt as _;
    let path = hook.path().display().to_string();
    let failed = |source| HookError::Run {
        stage,
        path: path.clone(),
        source,
    };
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(args);
    }
    command.env_clear().envs(
        hook.env()
            .iter()
            .flatten()
            .filter_map(|entry| entry.split_once('=')),
    );
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its input is not at fault.
        let _written = stdin.write_all(state.as_bytes());
    }
    if let Some(seconds) = hook
        .timeout()
        .and_then(|seconds| u64::try_from(seconds).ok())
    {
        let begin = Instant::now();
        while child.try_wait().map_err(failed)?.is_none() {
            if begin.elapsed() > Duration::from_secs(seconds) {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Err(HookError::TimedOut {
                    stage,
                    path,
                    seconds,
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(HookError::Failed {
        stage,
        path,
        status: output.status,
        output: text,
    })
}

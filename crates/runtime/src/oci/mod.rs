//! The OCI runtime command line, as dockerd, containerd and podman call one (`runc`'s options).
//!
//! A thin caller of [`crate::start`]: no keeper, no store; what must outlive a command is in a
//! directory below `--root`. The binary wires [`Command`] as its subcommand `oci`.

mod console_socket;
mod create;
mod delete;
mod exec;
mod features;
mod list;
mod record;
mod report;
mod resources;
mod signal;
mod start;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(crate) use self::record::RecordError;
use crate::cgroup::CgroupError;
use crate::launch::StartError;
use crate::sealed::{self, SealError};
use crate::seccomp::SeccompError;
use crate::start::hooks::HookError;

/// The version of the specification that is carried out.
const SPECIFICATION: &str = "1.2.1";

/// Arguments of the OCI runtime command line.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub struct Command {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    operation: Option<Operation>,
}

#[derive(Args, Clone, Debug)]
struct Global {
    /// Where the state of containers is kept.
    #[arg(long, default_value = "/run/longshore-oci", global = true)]
    root: PathBuf,
    /// Where errors are logged, besides standard error.
    #[arg(long, global = true)]
    log: Option<PathBuf>,
    /// How they are: `text` or `json`.
    #[arg(long, default_value = "text", global = true)]
    log_format: report::Format,
    /// Logs more; there is no more than errors to log.
    #[arg(long, global = true)]
    debug: bool,
    /// Refused: cgroups are made without systemd.
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    /// Print the version.
    #[arg(long, short)]
    version: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Operation {
    /// Make a container that waits to be started.
    Create(create::Create),
    /// Start a container that waits.
    Start(Id),
    /// Make and start a container.
    Run(create::Run),
    /// Run a further process in a container.
    Exec(exec::Exec),
    /// Print the state of a container.
    State(Id),
    /// Send a signal to a container.
    Kill(signal::Kill),
    /// Remove what is left of a container.
    Delete(delete::Delete),
    /// Hold the processes of a container still.
    Pause(Id),
    /// Let them go on.
    Resume(Id),
    /// Change limits of a container.
    Update(resources::Update),
    /// Print what a container uses.
    Events(resources::Events),
    /// Print the processes of a container.
    Ps(list::Ps),
    /// Print all containers.
    List(list::List),
    /// Print what this runtime can do.
    Features,
}

/// The name of a container.
#[derive(Args, Clone, Debug)]
struct Id {
    /// Name of the container.
    id: String,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OciError {
    /// An option that is not honoured.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// Nothing was asked for.
    #[error("no command given; see --help")]
    NoCommand,
    /// The bundle cannot be used.
    #[error("read {}", path.display())]
    Bundle { path: PathBuf, source: io::Error },
    /// A JSON document is not what it should be.
    #[error("understand {}", path.display())]
    Document {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// The stored state.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The filter in the specification.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// The process could not be started.
    #[error("unable to start container process: {0}")]
    Start(StartError),
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// Something of the host.
    #[error("{attempt}")]
    Host {
        attempt: &'static str,
        source: io::Error,
    },
    /// A word that is no signal.
    #[error("unknown signal {0:?}")]
    Signal(String),
    /// The state does not allow it. `containerd` looks for these words.
    #[error("cannot {operation} a container in the {state} state: container not running")]
    NotRunning {
        operation: &'static str,
        state: record::Status,
    },
    /// The state does not allow it.
    #[error("cannot {operation} a container in the {state} state")]
    State {
        operation: &'static str,
        state: record::Status,
    },
    /// This program could not be sealed.
    #[error("protect this program from the container")]
    Seal(#[from] SealError),
    /// The container ended before it was told to start.
    #[error("the container's process ended unexpectedly")]
    Ended,
}

impl OciError {
    fn host(attempt: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::Host {
            attempt,
            source: errno.into(),
        }
    }
}

impl Command {
    /// Carries the command out; the exit code is the program's for `run` and `exec`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let reporter = report::Reporter::new(self.global.log.clone(), self.global.log_format);
        match self.carry_out() {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                reporter.error(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn carry_out(self) -> Result<u8, OciError> {
        if self.global.version {
            features::print_version();
            return Ok(0);
        }
        if self.global.systemd_cgroup {
            return Err(OciError::Unsupported("--systemd-cgroup"));
        }
        let root = &self.global.root;
        let operation = self.operation.ok_or(OciError::NoCommand)?;
        if matches!(
            operation,
            Operation::Create(_) | Operation::Run(_) | Operation::Exec(_)
        ) {
            sealed::run_from_sealed()?;
        }
        match operation {
            Operation::Create(create) => create.carry_out(root).map(|()| 0),
            Operation::Run(run) => run.carry_out(root),
            Operation::Start(Id { id }) => start::start(root, &id).map(|()| 0),
            Operation::Exec(exec) => exec.carry_out(root),
            Operation::State(Id { id }) => list::state(root, &id).map(|()| 0),
            Operation::Kill(kill) => kill.carry_out(root).map(|()| 0),
            Operation::Delete(delete) => delete.carry_out(root).map(|()| 0),
            Operation::Pause(Id { id }) => resources::pause(root, &id).map(|()| 0),
            Operation::Resume(Id { id }) => resources::resume(root, &id).map(|()| 0),
            Operation::Update(update) => update.carry_out(root).map(|()| 0),
            Operation::Events(events) => events.carry_out(root).map(|()| 0),
            Operation::Ps(ps) => ps.carry_out(root).map(|()| 0),
            Operation::List(list) => list.carry_out(root).map(|()| 0),
            Operation::Features => {
                features::print();
                Ok(0)
            }
        }
    }
}

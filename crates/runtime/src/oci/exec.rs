//! `exec`: a further process in a container.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::Args;
use oci_spec::runtime::{Process, Spec};

use super::create::{Reports, own_streams, size, wait, write_pid};
use super::record::{Record, Status};
use super::{OciError, console_socket};
use crate::console;
use crate::launch::{self, Stdio};
use crate::seccomp;
use crate::start::{ChildIo, Spawned, exec_inheriting};

/// Arguments of `exec`.
#[derive(Args, Clone, Debug)]
pub(super) struct Exec {
    /// A file with the process in JSON, instead of arguments.
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// Where the master of the process's terminal is sent.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Where the id of the process is written.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Return once the program runs.
    #[arg(long, short)]
    detach: bool,
    /// Give it a terminal.
    #[arg(long, short)]
    tty: bool,
    /// Its working directory.
    #[arg(long)]
    cwd: Option<PathBuf>,
    /// A further environment variable: `NAME=value`.
    #[arg(long, short)]
    env: Vec<String>,
    /// User and group by number: `1000:1000`.
    #[arg(long, short)]
    user: Option<String>,
    /// `setuid` programs give no privileges.
    #[arg(long)]
    no_new_privs: bool,
    /// Run it in a paused container, too; it waits there.
    #[arg(long)]
    ignore_paused: bool,
    /// How many descriptors from 3 on the program inherits.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Name of the container.
    id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Exec {
    /// Runs it; answers the program's exit code, unless it is detached.
    pub(super) fn carry_out(&self, root: &Path) -> Result<u8, OciError> {
        let record = Record::load(root, &self.id)?;
        match record.status(root)? {
            Status::Created | Status::Running => {}
            Status::Paused if self.ignore_paused => {}
            state => {
                return Err(OciError::NotRunning {
                    operation: "exec in",
                    state,
                });
            }
        }
        let spec = specification(&record.bundle)?;
        let process = self.process(&spec)?;
        let seccomp = match spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.seccomp().as_ref())
        {
            Some(wanted) => seccomp::filter_of_spec(wanted)?,
            None => Vec::new(),
        };
        let terminal = (process.terminal() == Some(true)).then(|| size(&process));
        let exec = launch::Exec {
            id: String::new(),
            container: self.id.clone(),
            process,
            seccomp,
            groups: Vec::new(),
            // Those that cannot be granted are no reason to fail (`config.md`, "Linux Process").
            clamp_capabilities: true,
            stdio: Stdio {
                terminal,
                stdin: true,
                discard_output: false,
            },
            note: serde_json::Value::Null,
        };
        let target = record.pidfd().ok_or(OciError::NotRunning {
            operation: "exec in",
            state: Status::Stopped,
        })?;
        let (master, io) = match (terminal, &self.console_socket) {
            (None, _) => (None, own_streams()?),
            (Some(_), None) => {
                return Err(OciError::Unsupported("a terminal without --console-socket"));
            }
            (Some(_), Some(_)) => {
                let (master, slave) =
                    console::for_exec(&exec, target.as_fd()).map_err(OciError::Start)?;
                (Some(master), ChildIo::Terminal(slave))
            }
        };
        let Spawned { pid, pidfd, status } = exec_inheriting(
            &exec,
            target.as_fd(),
            &record.cgroups_path,
            io,
            self.preserve_fds,
        )
        .map_err(OciError::Start)?;
        if let (Some(master), Some(socket)) = (master, &self.console_socket) {
            console_socket::send(socket, &master)?;
        }
        Reports::new(status).executed()?;
        if let Some(path) = &self.pid_file {
            write_pid(path, pid)?;
        }
        if self.detach { Ok(0) } else { wait(&pidfd) }
    }

    fn process(&self, spec: &Spec) -> Result<Process, OciError> {
        if let Some(path) = &self.process {
            let content = std::fs::read(path).map_err(|source| OciError::Bundle {
                path: path.clone(),
                source,
            })?;
            let document = serde_json::from_slice(&content);
            let mut process: Process = document.map_err(|source| OciError::Document {
                path: path.clone(),
                source,
            })?;
            process.user_mut().set_username(None);
            return Ok(process);
        }
        let mut process = spec.process().clone().unwrap_or_default();
        process.user_mut().set_username(None);
        process.set_terminal(Some(self.tty));
        process.set_args(Some(self.args.clone()));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(self.env.iter().cloned());
        process.set_env(Some(env));
        if let Some(user) = &self.user {
            let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
            let number = |text: &str| {
                text.parse()
                    .map_err(|_| OciError::Unsupported("--user by name"))
            };
            process
                .user_mut()
                .set_uid(number(uid)?)
                .set_gid(number(gid)?)
                .set_additional_gids(None);
        }
        Ok(process)
    }
}

/// The specification in a bundle.
fn specification(bundle: &Path) -> Result<Spec, OciError> {
    let path = bundle.join("config.json");
    let content = std::fs::read(&path).map_err(|source| OciError::Bundle {
        path: path.clone(),
        source,
    })?;
    serde_json::from_slice(&content).map_err(|source| OciError::Document { path, source })
}

//! Further processes in instances that run: prepared, started, and remembered until the instance
//! is removed or starts anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Id;
use model::container::TerminalSize;
use model::instance::{Failure, FailureKind};
use model::security::Security;
use model::stream::ExecSpec;
use oci_spec::runtime::Process;
use runtime::keeper::ProcessKey;
use runtime::launch::{Exec, Stdio};
use runtime::user::Databases;
use serde::{Deserialize, Serialize};

use crate::failure::{failure, internal, refused};
use crate::host::Inner;
use crate::metrics::Metrics;
use crate::process::not_running;
use crate::run::{Live, Note, State};
use crate::spec::{self, capability, environment, limits};
use crate::start::start_failure;
use crate::{Happening, Input, Output, attachment};

mod registry;

pub(crate) use registry::Execs;

/// The exit status of a program that could not be executed.
const CANNOT_EXECUTE: i32 = 126;
/// The exit status of a program that was not found.
const NOT_FOUND: i32 = 127;

/// How long a resize waits for an exec that was not started yet, as with dockerd.
const EXECUTED_WITHIN: Duration = Duration::from_secs(10);

/// How long the end of an exec's output waits for the exec's own end. The keeper tells of it within
/// milliseconds on an idle machine; a process may also close its output and go on for long.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What the keeper keeps for us.
#[derive(Debug, Serialize, Deserialize)]
struct ExecNote {
    spec: ExecSpec,
}

impl Inner {
    /// The run that a process can be executed in.
    fn run_for_exec(&self, id: Id) -> Result<Arc<Live>, Failure> {
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        match live.state() {
            State::Running => Ok(live),
            State::Paused => {
                let words = format!(
                    "Container {} is paused, unpause the container before exec",
                    id.simple()
                );
                Err(refused(FailureKind::Conflict, words))
            }
            State::Exited(_) => Err(not_running(id)),
        }
    }

    /// Prepares a process.
    pub(crate) fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure> {
        let live = self.run_for_exec(id)?;
        if spec.args.first().is_none_or(String::is_empty) {
            return Err(refused(FailureKind::Invalid, "No exec command specified"));
        }
        // What cannot be is refused now already, as far as it can be told before the start.
        self.process(&live.note, spec)?;
        if !spec.user.is_empty() {
            let pid = live.pid().ok_or_else(|| not_running(id))?;
            let root = crate::root::of_process(pid).map_err(|error| internal(&error))?;
            let known = Databases::read(&root).named(&spec.user);
            known.map_err(|error| failure(FailureKind::Invalid, &error))?;
        }
        Ok(self.execs.prepare(id, spec.clone()))
    }

    /// Runs a prepared process.
    pub(crate) async fn exec_start(
        self: &Arc<Self>,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure> {
        // One that cannot run now may be started later.
        let (whose, _) = self.execs.status(exec)?;
        self.run_for_exec(whose)?;
        let (id, spec) = self.execs.begin(exec)?;
        match self.exec_begun(id, exec, &spec, detach, size).await {
            Ok((pid, streams)) => {
                self.execs.set_running(exec, pid);
                Metrics::count(&self.metrics.execs);
                self.happened(Happening::Exec(id, exec.to_owned(), None));
                Ok(streams)
            }
            Err(error) => {
                let code = if error.kind == FailureKind::CommandNotFound {
                    NOT_FOUND
                } else {
                    CANNOT_EXECUTE
                };
                if let Some(too_many) = self.execs.set_ended(exec, code) {
                    self.forget_later(id, too_many);
                }
                Err(error)
            }
        }
    }

    async fn exec_begun(
        self: &Arc<Self>,
        id: Id,
        exec: &str,
        spec: &ExecSpec,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(u32, (Output, Option<Input>)), Failure> {
        let live = self.run_for_exec(id)?;
        let note = serde_json::to_string(&ExecNote { spec: spec.clone() }).unwrap_or_default();
        let wanted = self.wanted(&live, exec, spec, size, serde_json::Value::String(note))?;
        let streams = if detach {
            (tokio::sync::mpsc::channel(1).1, None)
        } else {
            self.exec_streams(&live, exec, spec).await?
        };
        let spawned = self
            .keeper()
            .exec(&wanted)
            .await
            .map_err(|error| start_failure(&error))?;
        Ok((spawned.pid, streams))
    }

    /// Streams of a process to be; nothing it prints is lost. Who has seen the end of its output
    /// asks for its exit status next, so that is known by then.
    pub(crate) async fn exec_streams(
        self: &Arc<Self>,
        live: &Live,
        exec: &str,
        spec: &ExecSpec,
    ) -> Result<(Output, Option<Input>), Failure> {
        let key = ProcessKey::exec(live.id.simple(), exec);
        let keeper = self.keeper();
        let attached = keeper
            .attach(&key, spec.stdin, true)
            .await
            .map_err(|error| internal(&error))?;
        let tty = spec.tty;
        let (host, exec) = (Arc::downgrade(self), exec.to_owned());
        let end = async move {
            let Some(host) = host.upgrade() else { return };
            // One that closes its output and goes on does not hold up its reader for ever.
            drop(tokio::time::timeout(END_PATIENCE, host.execs.wait_over(&exec)).await);
        };
        attachment::channels(attached, &keeper, &key, Box::new(move || !tty), end)
            .map_err(|error| internal(&error))
    }

    /// What the keeper is to execute.
    pub(crate) fn wanted(
        &self,
        live: &Live,
        exec: &str,
        spec: &ExecSpec,
        size: Option<TerminalSize>,
        note: serde_json::Value,
    ) -> Result<Exec, Failure> {
        let (process, seccomp, clamp_capabilities) = self.process(&live.note, spec)?;
        let size = size.or(spec.terminal_size);
        Ok(Exec {
            id: exec.to_owned(),
            container: live.id.simple(),
            process,
            seccomp,
            groups: live.note.security.groups.clone(),
            clamp_capabilities,
            stdio: Stdio {
                terminal: spec
                    .tty
                    .then(|| size.map_or((0, 0), |size| (size.rows, size.columns))),
                stdin: spec.stdin,
                discard_output: true,
            },
            note,
        })
    }

    /// The process: the container's user, environment and privileges where `spec` has no others.
    fn process(&self, note: &Note, spec: &ExecSpec) -> Result<(Process, Vec<u8>, bool), Failure> {
        let invalid =
            |error: &(dyn std::error::Error + 'static)| failure(FailureKind::Invalid, error);
        let security = security(note, spec.privileged);
        let granted = capability::granted(&security).map_err(|error| invalid(&error))?;
        let working_dir = if spec.working_dir.is_empty() {
            &note.working_dir
        } else {
            &spec.working_dir
        };
        let working_dir: PathBuf =
            spec::working_directory(working_dir).map_err(|error| invalid(&error))?;
        let base = environment::of_container(&note.hostname, &note.domainname, spec.tty, &note.env);
        let environment = environment::overridden(base, &spec.env);
        let limits = limits::ulimits(&note.ulimits).map_err(|error| invalid(&error))?;
        let mut process = Process::default();
        process
            .set_terminal(Some(spec.tty))
            .set_user(spec::user(if spec.user.is_empty() {
                &note.user
            } else {
                &spec.user
            }))
            .set_args(Some(spec.args.clone()))
            .set_env(Some(environment))
            .set_cwd(working_dir)
            .set_capabilities(Some(spec::capability_sets(&granted)))
            .set_rlimits(Some(limits).filter(|limits| !limits.is_empty()))
            .set_no_new_privileges(Some(note.security.no_new_privileges))
            .set_apparmor_profile(None)
            .set_selinux_label(None)
            .set_oom_score_adj(Some(spec::oom_score_adj(&note.security)));
        let filter = self
            .filters
            .get(spec::effective_seccomp(&security), &granted)
            .map_err(|error| invalid(&error))?;
        Ok((process, filter, capability::takes_what_there_is(&security)))
    }

    /// Sets the size of an exec's terminal, as soon as it runs: a client may ask once its stream is
    /// open, which is before.
    pub(crate) async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure> {
        let (id, _) = self.execs.status(exec)?;
        let executed = self.execs.wait_executed(exec);
        if tokio::time::timeout(EXECUTED_WITHIN, executed)
            .await
            .is_err()
        {
            let words = "timeout waiting for exec session ready".to_owned();
            return Err(refused(FailureKind::Internal, words));
        }
        let key = ProcessKey::exec(id.simple(), exec);
        let resized = self.keeper().resize(&key, size.rows, size.columns).await;
        match resized {
            Err(error) if error.is_not_running() || error.is_no_such_process() => Err(refused(
                FailureKind::Conflict,
                format!("exec command {exec} is not running"),
            )),
            // Without a terminal there is nothing to do, as with dockerd.
            Err(error) if !error.is_no_stream() => Err(internal(&error)),
            _ => Ok(()),
        }
    }

    /// An exec has ended.
    pub(crate) fn exec_ended(self: &Arc<Self>, id: Id, exec: &str, code: i32) {
        // Health checks are not on these books: they are heard of where they are run.
        if !self.execs.knows(exec) {
            self.probes.ended(exec, code);
            return;
        }
        let Some(too_many) = self.execs.set_ended(exec, code) else {
            return;
        };
        self.happened(Happening::Exec(id, exec.to_owned(), Some(code)));
        self.forget_later(id, too_many);
    }

    /// Forgets every exec of an instance.
    pub(crate) async fn forget_execs(&self, id: Id) {
        for exec in self.execs.take_all(id) {
            // One that still runs cannot be forgotten, and ends with its container.
            drop(
                self.keeper()
                    .forget(&ProcessKey::exec(id.simple(), exec))
                    .await,
            );
        }
    }

    fn forget_later(self: &Arc<Self>, id: Id, execs: Vec<String>) {
        if execs.is_empty() {
            return;
        }
        let keeper = self.keeper();
        tokio::spawn(async move {
            for exec in execs {
                // It has ended; if the keeper is lost there is nothing to forget either.
                drop(keeper.forget(&ProcessKey::exec(id.simple(), exec)).await);
            }
        });
    }
}

/// The privileges of a process in a container that has those of `note`.
fn security(note: &Note, privileged: bool) -> Security {
    Security {
        privileged: note.security.privileged || privileged,
        ..note.security.clone()
    }
}

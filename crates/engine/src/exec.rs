//! Further processes in instances that run: prepared, started, and remembered until the instance
//! is removed or starts anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Id;
use model::container::TerminalSize;
use model::instance::{Failure, FailureKind};
use model::security::Security;
use model::stream::{ExecSpec, ExecStatus};
use oci_spec::runtime::Process;
use runtime::keeper::{ProcessKey, ProcessState};
use runtime::launch::{Exec, Stdio};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::failure::{failure, internal, refused};
use crate::host::Inner;
use crate::metrics::Metrics;
use crate::process::not_running;
use crate::run::{Live, Note, State};
use crate::spec::{self, capability, environment, limits};
use crate::start::start_failure;
use crate::{Happening, Input, Output, attachment};

/// Ended execs that are remembered of each instance; past that the oldest is forgotten.
const ENDED_KEPT: usize = 32;
/// The exit status of a program that could not be executed.
const CANNOT_EXECUTE: i32 = 126;
/// The exit status of a program that was not found.
const NOT_FOUND: i32 = 127;

/// How long the end of an exec's output waits for the exec's own end. The keeper tells of it within
/// milliseconds on an idle machine; a process may also close its output and go on for long.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Every exec that is known.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    entries: Mutex<HashMap<String, Entry>>,
    /// Told of every one that has ended or is forgotten.
    over: Notify,
}

#[derive(Debug)]
struct Entry {
    instance: Id,
    spec: ExecSpec,
    stage: Stage,
    /// In the order of making, to know the oldest.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Prepared,
    Starting,
    /// With its process id.
    Running(u32),
    /// With its process id and exit status.
    Ended(u32, i32),
}

/// What the keeper keeps for us.
#[derive(Debug, Serialize, Deserialize)]
struct ExecNote {
    spec: ExecSpec,
}

impl Execs {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn prepare(&self, instance: Id, spec: ExecSpec) -> String {
        let id = hex::encode(rand::random::<[u8; 32]>());
        self.insert(instance, &id, spec, Stage::Prepared);
        id
    }

    fn insert(&self, instance: Id, id: &str, spec: ExecSpec, stage: Stage) {
        self.with(|entries| {
            let number = entries
                .values()
                .map(|entry| entry.number + 1)
                .max()
                .unwrap_or(0);
            entries.insert(
                id.to_owned(),
                Entry {
                    instance,
                    spec,
                    stage,
                    number,
                },
            );
        });
    }

    /// What an earlier daemon started.
    pub(crate) fn adopt(&self, instance: Id, id: &str, process: &ProcessState) {
        let note = process
            .note
            .as_str()
            .and_then(|note| serde_json::from_str::<ExecNote>(note).ok());
        let stage = match process.exited {
            Some(exited) => Stage::Ended(process.pid, exited.code),
            None => Stage::Running(process.pid),
        };
        self.insert(
            instance,
            id,
            note.map(|note| note.spec).unwrap_or_default(),
            stage,
        );
    }

    /// What is known of an exec, and whose it is.
    pub(crate) fn status(&self, id: &str) -> Result<(Id, ExecStatus), Failure> {
        self.with(|entries| {
            let entry = entries.get(id).ok_or_else(|| unknown(id))?;
            let (running, pid, exit_code) = match entry.stage {
                Stage::Prepared => (false, 0, None),
                Stage::Starting => (true, 0, None),
                Stage::Running(pid) => (true, pid, None),
                Stage::Ended(pid, code) => (false, pid, Some(code)),
            };
            Ok((
                entry.instance,
                ExecStatus {
                    spec: entry.spec.clone(),
                    running,
                    pid,
                    exit_code,
                },
            ))
        })
    }

    /// Execs of an instance that are known, in the order they were made.
    pub(crate) fn of(&self, instance: Id) -> Vec<String> {
        self.with(|entries| {
            let mut of: Vec<(u64, String)> = entries
                .iter()
                .filter(|(_, entry)| entry.instance == instance)
                .map(|(id, entry)| (entry.number, id.clone()))
                .collect();
            of.sort();
            of.into_iter().map(|(_, id)| id).collect()
        })
    }

    /// Takes the right to start it: once only.
    fn begin(&self, id: &str) -> Result<(Id, ExecSpec), Failure> {
        self.with(|entries| {
            let entry = entries.get_mut(id).ok_or_else(|| unknown(id))?;
            match entry.stage {
                Stage::Prepared => {
                    entry.stage = Stage::Starting;
                    Ok((entry.instance, entry.spec.clone()))
                }
                Stage::Starting | Stage::Running(_) => Err(refused(
                    FailureKind::Conflict,
                    format!("exec command {id} is already running"),
                )),
                Stage::Ended(..) => Err(refused(
                    FailureKind::Conflict,
                    format!("exec command {id} has already run"),
                )),
            }
        })
    }

    /// It was executed; it may have ended already.
    fn set_running(&self, id: &str, pid: u32) {
        self.with(|entries| {
            if let Some(entry) = entries.get_mut(id) {
                entry.stage = match entry.stage {
                    Stage::Ended(_, code) => Stage::Ended(pid, code),
                    _ => Stage::Running(pid),
                };
            }
        });
    }

    /// It has ended. Answers the oldest ended ones that are now too many; `None` if
    /// that was known already.
    fn set_ended(&self, id: &str, code: i32) -> Option<Vec<String>> {
        let too_many = self.with(|entries| {
            let entry = entries.get_mut(id)?;
            let pid = match entry.stage {
                Stage::Ended(..) => return None,
                Stage::Running(pid) => pid,
                Stage::Prepared | Stage::Starting => 0,
            };
            entry.stage = Stage::Ended(pid, code);
            let instance = entry.instance;
            let mut ended: Vec<(u64, String)> = entries
                .iter()
                .filter(|(_, entry)| {
                    entry.instance == instance && matches!(entry.stage, Stage::Ended(..))
                })
                .map(|(id, entry)| (entry.number, id.clone()))
                .collect();
            ended.sort();
            let too_many = ended.len().saturating_sub(ENDED_KEPT);
            let oldest: Vec<String> = ended.drain(..too_many).map(|(_, id)| id).collect();
            for id in &oldest {
                entries.remove(id);
            }
            Some(oldest)
        });
        self.over.notify_waiters();
        too_many
    }

    /// Waits until it has ended or is forgotten.
    async fn wait_over(&self, id: &str) {
        loop {
            let mut over = pin!(self.over.notified());
            // What happens from here on is not missed.
            over.as_mut().enable();
            let is_over = self.with(|entries| {
                entries
                    .get(id)
                    .is_none_or(|entry| matches!(entry.stage, Stage::Ended(..)))
            });
            if is_over {
                return;
            }
            over.await;
        }
    }

    /// Those that run, and whose they are.
    pub(crate) fn running(&self) -> Vec<(Id, String)> {
        self.with(|entries| {
            let running = entries
                .iter()
                .filter(|(_, entry)| matches!(entry.stage, Stage::Running(_)));
            running
                .map(|(id, entry)| (entry.instance, id.clone()))
                .collect()
        })
    }

    fn take_all(&self, instance: Id) -> Vec<String> {
        let taken = self.with(|entries| {
            let of: Vec<String> = entries
                .iter()
                .filter(|(_, entry)| entry.instance == instance)
                .map(|(id, _)| id.clone())
                .collect();
            for id in &of {
                entries.remove(id);
            }
            of
        });
        self.over.notify_waiters();
        taken
    }

    fn knows(&self, id: &str) -> bool {
        self.with(|entries| entries.contains_key(id))
    }
}

fn unknown(id: &str) -> Failure {
    refused(
        FailureKind::NotFound,
        format!("No such exec instance: {id}"),
    )
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
        Ok(self.execs.prepare(id, spec.clone()))
    }

    /// Runs a prepared process.
    pub(crate) async fn exec_start(
        self: &Arc<Self>,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure> {
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

    /// Sets the size of an exec's terminal.
    pub(crate) async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure> {
        let (id, _) = self.execs.status(exec)?;
        let key = ProcessKey::exec(id.simple(), exec);
        self.keeper()
            .resize(&key, size.rows, size.columns)
            .await
            .map_err(|error| {
                if error.is_not_running() || error.is_no_such_process() {
                    refused(
                        FailureKind::Conflict,
                        format!("exec command {exec} is not running"),
                    )
                } else {
                    internal(&error)
                }
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ExecSpec {
        ExecSpec {
            args: vec!["true".into()],
            ..ExecSpec::default()
        }
    }

    #[test]
    fn an_exec_starts_once_and_its_status_stays() {
        let execs = Execs::default();
        let owner = Id::random();
        let id = execs.prepare(owner, spec());
        assert_eq!((id.len(), execs.of(owner)), (64, vec![id.clone()]));
        execs.begin(&id).unwrap();
        assert!(
            execs
                .begin(&id)
                .unwrap_err()
                .message
                .ends_with("is already running")
        );
        execs.set_running(&id, 42);
        execs.set_ended(&id, 3);
        let (_, status) = execs.status(&id).unwrap();
        assert_eq!(
            (status.running, status.pid, status.exit_code),
            (false, 42, Some(3))
        );
        assert!(
            execs
                .begin(&id)
                .unwrap_err()
                .message
                .ends_with("has already run")
        );
        assert_eq!(execs.of(owner), [id]);
    }

    #[test]
    fn an_end_may_be_heard_before_the_start_is_answered() {
        let execs = Execs::default();
        let id = execs.prepare(Id::random(), spec());
        execs.begin(&id).unwrap();
        execs.set_ended(&id, 0);
        execs.set_running(&id, 42);
        let (_, status) = execs.status(&id).unwrap();
        assert_eq!(
            (status.running, status.pid, status.exit_code),
            (false, 42, Some(0))
        );
    }

    #[tokio::test]
    async fn who_waits_for_the_end_hears_of_it() {
        let execs = Execs::default();
        let owner = Id::random();
        let (ending, forgotten) = (execs.prepare(owner, spec()), execs.prepare(owner, spec()));
        execs.begin(&ending).unwrap();
        execs.set_running(&ending, 42);
        assert_eq!(execs.running(), [(owner, ending.clone())]);
        let ((), too_many) = tokio::join!(execs.wait_over(&ending), async {
            execs.set_ended(&ending, 137)
        });
        assert_eq!(too_many, Some(Vec::new()));
        // The first to say how it ended is right.
        assert_eq!(execs.set_ended(&ending, 255), None);
        assert_eq!(execs.status(&ending).unwrap().1.exit_code, Some(137));
        let ((), taken) =
            tokio::join!(execs.wait_over(&forgotten), async { execs.take_all(owner) });
        assert_eq!(taken.len(), 2);
    }

    #[test]
    fn only_so_many_ended_ones_are_remembered() {
        let execs = Execs::default();
        let owner = Id::random();
        let first = execs.prepare(owner, spec());
        execs.set_ended(&first, 0);
        for _ in 0..ENDED_KEPT {
            let id = execs.prepare(owner, spec());
            execs.set_ended(&id, 0);
        }
        assert_eq!(
            execs.status(&first).unwrap_err().kind,
            FailureKind::NotFound
        );
    }
}

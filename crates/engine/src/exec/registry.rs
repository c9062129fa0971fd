//! What is remembered of execs: who prepared which, which run, and how they ended.
//!
//! Bookkeeping only; [`super`] starts and ends them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use model::Id;
use model::instance::{Failure, FailureKind};
use model::stream::{ExecSpec, ExecStatus};
use runtime::keeper::ProcessState;
use tokio::sync::Notify;

use super::ExecNote;
use crate::failure::refused;

/// Ended execs that are remembered of each instance; past that the oldest is forgotten.
const ENDED_KEPT: usize = 32;

/// Every exec that is known.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    entries: Mutex<HashMap<String, Entry>>,
    /// Told of every one that runs, has ended or is forgotten.
    changed: Notify,
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

impl Execs {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn prepare(&self, instance: Id, spec: ExecSpec) -> String {
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

    /// Execs of an instance that are prepared or run, in the order they were made.
    pub(crate) fn of(&self, instance: Id) -> Vec<String> {
        self.with(|entries| {
            let mut of: Vec<(u64, String)> = entries
                .iter()
                .filter(|(_, entry)| {
                    entry.instance == instance && !matches!(entry.stage, Stage::Ended(..))
                })
                .map(|(id, entry)| (entry.number, id.clone()))
                .collect();
            of.sort();
            of.into_iter().map(|(_, id)| id).collect()
        })
    }

    /// Takes the right to start it: once only.
    pub(super) fn begin(&self, id: &str) -> Result<(Id, ExecSpec), Failure> {
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
    pub(super) fn set_running(&self, id: &str, pid: u32) {
        self.with(|entries| {
            if let Some(entry) = entries.get_mut(id) {
                entry.stage = match entry.stage {
                    Stage::Ended(_, code) => Stage::Ended(pid, code),
                    _ => Stage::Running(pid),
                };
            }
        });
        self.changed.notify_waiters();
    }

    /// It has ended. Answers the oldest ended ones that are now too many; `None` if
    /// that was known already.
    pub(super) fn set_ended(&self, id: &str, code: i32) -> Option<Vec<String>> {
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
        self.changed.notify_waiters();
        too_many
    }

    /// Waits until it has ended or is forgotten.
    pub(super) async fn wait_over(&self, id: &str) {
        self.wait(id, |stage| matches!(stage, Stage::Ended(..)))
            .await;
    }

    /// Waits until it was executed, or is forgotten.
    pub(super) async fn wait_executed(&self, id: &str) {
        let is_executed = |stage| !matches!(stage, Stage::Prepared | Stage::Starting);
        self.wait(id, is_executed).await;
    }

    async fn wait(&self, id: &str, is_so: impl Fn(Stage) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // What happens from here on is not missed.
            changed.as_mut().enable();
            let is_over = self.with(|entries| {
                let entry = entries.get(id);
                entry.is_none_or(|entry| is_so(entry.stage))
            });
            if is_over {
                return;
            }
            changed.await;
        }
    }

    /// Forgets those that were prepared in a run which has ended: they are not for the next one.
    pub(crate) fn drop_prepared(&self, instance: Id) {
        self.with(|entries| {
            entries.retain(|_, entry| entry.instance != instance || entry.stage != Stage::Prepared);
        });
        self.changed.notify_waiters();
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

    pub(super) fn take_all(&self, instance: Id) -> Vec<String> {
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
        self.changed.notify_waiters();
        taken
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.with(|entries| entries.contains_key(id))
    }
}

pub(super) fn unknown(id: &str) -> Failure {
    refused(
        FailureKind::NotFound,
        format!("No such exec instance: {id}"),
    )
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
        assert_eq!(execs.of(owner), [id.as_str()]);
        execs.set_ended(&id, 3);
        assert_eq!(execs.of(owner), [""; 0]);
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

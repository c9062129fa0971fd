//! One run of an instance: what the host remembers of it while it lives and until its exit has
//! been taken note of.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use model::Id;
use model::container::{ContainerSpec, HealthCheck, LogConfig};
use model::instance::{Exit, Health, Instance, Run};
use model::resources::Ulimit;
use model::security::Security;
use runtime::keeper::ProcessKey;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What the keeper keeps for us, so that a later daemon finds the run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Which run.
    pub(crate) run: Run,
    /// Path of its cgroup in every hierarchy.
    pub(crate) cgroups_path: String,
    /// It has an attachment to networks of its own.
    pub(crate) has_sandbox: bool,
    /// Its `/dev/shm` is mounted on the host, for others to share.
    #[serde(default)]
    pub(crate) shares_memory: bool,
    /// Host name inside.
    pub(crate) hostname: String,
    /// NIS domain name inside.
    #[serde(default)]
    pub(crate) domainname: String,
    /// As [`ContainerSpec::env`].
    pub(crate) env: Vec<String>,
    /// As [`ContainerSpec::working_dir`].
    pub(crate) working_dir: String,
    /// As [`ContainerSpec::user`].
    pub(crate) user: String,
    /// Standard streams are a terminal.
    pub(crate) tty: bool,
    /// As [`ContainerSpec::stdin_once`].
    pub(crate) stdin_once: bool,
    /// As [`ContainerSpec::stop_signal`].
    pub(crate) stop_signal: Option<String>,
    /// Privileges.
    pub(crate) security: Security,
    /// Limits of each process.
    #[serde(default)]
    pub(crate) ulimits: Vec<Ulimit>,
    /// How its health is found out.
    pub(crate) health_check: Option<HealthCheck>,
    /// Its older log files are compressed.
    #[serde(default)]
    pub(crate) packs_log: bool,
}

impl Note {
    pub(crate) fn new(
        instance: &Instance,
        container: &ContainerSpec,
        run: Run,
        cgroups_path: String,
    ) -> Self {
        Self {
            run,
            cgroups_path,
            has_sandbox: false,
            shares_memory: false,
            hostname: instance.spec.hostname.clone(),
            domainname: instance.spec.domainname.clone(),
            env: container.env.clone(),
            working_dir: container.working_dir.clone(),
            user: container.user.clone(),
            tty: container.tty,
            stdin_once: container.stdin_once,
            stop_signal: container.stop_signal.clone(),
            security: container.security.clone(),
            ulimits: container.resources.ulimits.clone(),
            health_check: container.health_check.clone(),
            packs_log: matches!(container.log, LogConfig::JsonFile { compress: true, .. }),
        }
    }

    /// As text in one string: a tree of JSON values would take the keeper several times the memory.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::to_string(self).map_or(serde_json::Value::Null, serde_json::Value::String)
    }

    pub(crate) fn from_value(value: &serde_json::Value) -> Option<Self> {
        serde_json::from_str(value.as_str()?).ok()
    }
}

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Running,
    Paused,
    Exited(Exit),
}

/// One run.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: Id,
    pub(crate) note: Note,
    /// Set once the program is executed; `None` when the start failed.
    started: OnceLock<(u32, Timestamp)>,
    /// The start has succeeded or failed.
    is_settled: watch::Sender<bool>,
    state: watch::Sender<State>,
    /// The keeper does not know it any more.
    forgotten: AtomicBool,
    /// What its health checks made of it so far.
    health: Mutex<Option<Health>>,
    /// The health check's task, while there is one.
    health_task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Live {
    pub(crate) fn new(id: Id, note: Note) -> Self {
        Self {
            id,
            note,
            started: OnceLock::new(),
            is_settled: watch::Sender::new(false),
            state: watch::Sender::new(State::Running),
            forgotten: AtomicBool::new(false),
            health: Mutex::new(None),
            health_task: Mutex::new(None),
        }
    }

    /// The keeper's name for its first process.
    pub(crate) fn key(&self) -> ProcessKey {
        ProcessKey::container(self.id.simple())
    }

    pub(crate) fn set_started(&self, pid: u32, at: Timestamp) {
        if self.started.set((pid, at)).is_ok() {
            self.is_settled.send_replace(true);
        }
    }

    /// The start has failed, or its end was not heard.
    pub(crate) fn set_failed(&self) {
        self.is_settled.send_replace(true);
    }

    /// Waits until the start is over, and answers whether it succeeded; an exit may be heard of
    /// before.
    pub(crate) async fn wait_started(&self) -> bool {
        // The sender lives as long as this, so it cannot close.
        drop(
            self.is_settled
                .subscribe()
                .wait_for(|settled| *settled)
                .await,
        );
        self.started().is_some()
    }

    /// Process 1 and when it was executed; `None` before.
    pub(crate) fn started(&self) -> Option<(u32, Timestamp)> {
        self.started.get().copied()
    }

    /// Whether process 1 exists, reaped or not yet, whatever was heard of it.
    pub(crate) fn is_there(&self) -> bool {
        self.started()
            .is_some_and(|(pid, _)| std::path::Path::new(&format!("/proc/{pid}")).exists())
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Process 1, while it runs or is frozen.
    pub(crate) fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            State::Exited(_) => None,
            State::Running | State::Paused => self.started().map(|(pid, _)| pid),
        }
    }

    /// Changes the state, unless the run is over. Answers whether it was changed.
    pub(crate) fn set_state(&self, new: State) -> bool {
        self.state.send_if_modified(|state| {
            let changes = !matches!(state, State::Exited(_)) && *state != new;
            if changes {
                *state = new;
            }
            changes
        })
    }

    /// Waits for the end of the run.
    pub(crate) async fn exited(&self) -> Option<Exit> {
        let mut states = self.state.subscribe();
        let state = states
            .wait_for(|state| matches!(state, State::Exited(_)))
            .await
            .ok()?;
        match &*state {
            State::Exited(exit) => Some(exit.clone()),
            State::Running | State::Paused => None,
        }
    }

    /// Whether the keeper does not know it any more.
    pub(crate) fn was_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// The keeper does not know it any more.
    pub(crate) fn set_forgotten(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Puts a health check's task in the place of the one before, which ends.
    pub(crate) fn set_health_task(&self, task: Option<AbortOnDropHandle<()>>) {
        *self
            .health_task
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = task;
    }

    /// What its health checks made of it so far; `None` before the first.
    pub(crate) fn health(&self) -> Option<Health> {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(health);
    }
}

/// Every run that is not forgotten, the newest of each instance.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    lives: Mutex<HashMap<Id, Arc<Live>>>,
    turns: Mutex<HashMap<Id, Arc<tokio::sync::Mutex<()>>>>,
    /// Instances whose last start was not heard the end of: the keeper may have it.
    unheard: Mutex<HashSet<Id>>,
}

impl Runs {
    pub(crate) fn get(&self, id: Id) -> Option<Arc<Live>> {
        self.lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// The run, if it lives.
    pub(crate) fn running(&self, id: Id) -> Option<Arc<Live>> {
        self.get(id).filter(|live| live.pid().is_some())
    }

    pub(crate) fn put(&self, live: &Arc<Live>) {
        self.lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(live.id, Arc::clone(live));
    }

    /// Takes a run out, unless another has taken its place.
    pub(crate) fn take(&self, live: &Arc<Live>) {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if lives
            .get(&live.id)
            .is_some_and(|known| Arc::ptr_eq(known, live))
        {
            lives.remove(&live.id);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The connection broke before the keeper said what became of a start.
    pub(crate) fn put_unheard(&self, id: Id) {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        unheard.insert(id);
    }

    /// The keeper has nothing left of such a start.
    pub(crate) fn take_unheard(&self, id: Id) {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        unheard.remove(&id);
    }

    /// Those of which the keeper may have something.
    pub(crate) fn unheard(&self) -> HashSet<Id> {
        self.unheard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many live now.
    pub(crate) fn count_running(&self) -> u64 {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.values().filter(|live| live.pid().is_some()).count() as u64
    }

    /// Waits until nobody else makes, starts or removes this instance.
    pub(crate) async fn turn(&self, id: Id) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(id).or_default())
        };
        turn.lock_owned().await
    }

    /// Forgets the turn of an instance that is gone.
    pub(crate) fn drop_turn(&self, id: Id) {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let instance = Instance {
            meta: model::Meta::new("x", model::ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec: model::instance::InstanceSpec::default(),
        };
        let note = Note::new(
            &instance,
            &ContainerSpec::default(),
            Run::default(),
            "/x".into(),
        );
        Live::new(instance.meta.id, note)
    }

    #[test]
    fn a_note_survives_the_keeper() {
        let note = live().note;
        assert_eq!(Note::from_value(&note.to_value()), Some(note));
    }

    #[tokio::test]
    async fn an_end_is_final() {
        let live = live();
        live.set_started(7, Timestamp::UNIX_EPOCH);
        assert_eq!(live.pid(), Some(7));
        let exit = Exit {
            code: 3,
            oom_killed: false,
            at: Timestamp::UNIX_EPOCH,
        };
        assert!(live.set_state(State::Exited(exit.clone())));
        assert!(!live.set_state(State::Running));
        assert_eq!((live.pid(), live.exited().await), (None, Some(exit)));
    }
}

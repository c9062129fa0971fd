//! Takes over what runs when the daemon starts, and hears of what ends while it runs.
//!
//! The keeper knows every process and how it ended, networks know every sandbox: joined by the
//! notes that each run has with the keeper, they make the state that an earlier daemon had. What
//! neither knows is [swept](crate::sweep).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::Id;
use model::instance::Exit;
use runtime::cgroup::Cgroup;
use runtime::keeper::{CallError, Client, Exited, KeeperEvent, ProcessState};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::host::Inner;
use crate::metrics::Metrics;
use crate::run::{Live, Note, State};
use crate::{Found, FoundState, Happening};

/// Pause before the keeper is looked for again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How long starts may take that an earlier daemon asked for.
const STARTS_END_WITHIN: Duration = Duration::from_secs(10);
/// Pause before these are looked at again.
const STARTS_PAUSE: Duration = Duration::from_millis(5);
/// The exit status of a run that was killed because its keeper is gone: that of `SIGKILL`.
const KILLED_CODE: i32 = 137;

/// Finds every run again, and frees what belongs to none.
pub(crate) async fn take_over(inner: &Arc<Inner>) -> Result<(), CallError> {
    for process in settled(&inner.keeper()).await? {
        let Some(id) = id_of(&process.key.container) else {
            continue;
        };
        if let Some(exec) = &process.key.exec {
            inner.execs.adopt(id, exec, &process);
        } else if let Some(note) = Note::from_value(&process.note) {
            adopt(inner, id, note, &process);
        } else {
            tracing::warn!(
                container = process.key.container,
                "the keeper has a container that is not ours"
            );
        }
    }
    let mut ended = Vec::new();
    for live in inner.runs.all() {
        match live.state() {
            State::Exited(_) => {
                ended.push(live);
                continue;
            }
            State::Running => inner.watch_health(&live),
            State::Paused => {}
        }
        inner.pack_log(&live);
    }
    // Those that ended while nobody looked still have what they had.
    for live in ended {
        give_back(inner, &live).await;
    }
    crate::sweep::sweep(inner).await;
    Ok(())
}

/// What the keeper keeps, once the starts are over that an earlier daemon did not see the end of.
async fn settled(keeper: &Client) -> Result<Vec<ProcessState>, CallError> {
    let deadline = Instant::now() + STARTS_END_WITHIN;
    loop {
        let (starting, settled): (Vec<_>, Vec<_>) = keeper
            .list()
            .await?
            .into_iter()
            .partition(|process| process.is_starting);
        if starting.is_empty() || Instant::now() > deadline {
            // Those that still start are nobody's, and are swept.
            return Ok(settled);
        }
        tokio::time::sleep(STARTS_PAUSE).await;
    }
}

fn id_of(key: &str) -> Option<Id> {
    key.parse().ok()
}

fn adopt(inner: &Arc<Inner>, id: Id, note: Note, process: &ProcessState) {
    let live = Arc::new(Live::new(id, note));
    live.set_started(process.pid, process.started_at);
    match &process.exited {
        Some(exited) => {
            live.set_state(State::Exited(exit(*exited)));
        }
        None => {
            let frozen = Cgroup::at(&live.note.cgroups_path).and_then(|cgroup| cgroup.is_frozen());
            if frozen.unwrap_or(false) {
                live.set_state(State::Paused);
            }
        }
    }
    inner.runs.put(&live);
}

/// Hears the keeper's events, for as long as the host is open. A keeper that is lost is found or
/// made again.
pub(crate) async fn listen(inner: Arc<Inner>, mut events: Receiver<KeeperEvent>) {
    loop {
        match events.recv().await {
            Ok(KeeperEvent::Exited { key, exited }) => {
                hear_exit(&inner, &key.container, key.exec.as_deref(), exited);
            }
            Ok(KeeperEvent::Oom { key }) => {
                if let Some(id) = id_of(&key.container) {
                    inner.happened(Happening::OutOfMemory(id));
                }
            }
            Err(RecvError::Lagged(_)) => compare(&inner).await,
            Ok(KeeperEvent::Lost) | Err(RecvError::Closed) => {
                events = reconnect(&inner).await;
                compare(&inner).await;
                crate::unheard::settle_all(&inner);
            }
        }
    }
}

async fn reconnect(inner: &Arc<Inner>) -> Receiver<KeeperEvent> {
    loop {
        match runtime::keeper::ensure(&inner.keeper_program, &inner.directories.keeper()).await {
            Ok(keeper) => {
                let events = keeper.events();
                inner.set_keeper(keeper);
                return events;
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no keeper; trying again"
                );
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

/// Makes up for events that were missed. A keeper that was killed is followed by one that knows no
/// run: those of the old one are killed, because nobody can keep them any more.
async fn compare(inner: &Arc<Inner>) {
    // Before the list, or what starts after it would seem unknown to the keeper.
    let execs = inner.execs.running();
    let lives: Vec<Arc<Live>> = inner
        .runs
        .all()
        .into_iter()
        .filter(|live| live.pid().is_some())
        .collect();
    let processes = match inner.keeper().list().await {
        Ok(processes) => processes,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the keeper does not say what runs"
            );
            return;
        }
    };
    for process in &processes {
        if let Some(exited) = process.exited {
            hear_exit(
                inner,
                &process.key.container,
                process.key.exec.as_deref(),
                exited,
            );
        }
    }
    let known: HashSet<&str> = processes
        .iter()
        .map(|process| process.key.container.as_str())
        .collect();
    let known_execs: HashSet<&str> = processes
        .iter()
        .filter_map(|process| process.key.exec.as_deref())
        .collect();
    for (id, exec) in execs {
        if !known_execs.contains(exec.as_str()) {
            inner.exec_ended(id, &exec, KILLED_CODE);
        }
    }
    for live in lives {
        if !known.contains(live.id.simple().as_str()) {
            tracing::error!(instance = %live.id, "the keeper does not know a run; it is killed");
            let killed = Exited {
                code: KILLED_CODE,
                at: Timestamp::now(),
                oom_killed: false,
            };
            hear_exit(inner, &live.id.simple(), None, killed);
        }
    }
}

fn hear_exit(inner: &Arc<Inner>, container: &str, exec: Option<&str>, exited: Exited) {
    let Some(id) = id_of(container) else { return };
    if let Some(exec) = exec {
        inner.exec_ended(id, exec, exited.code);
        return;
    }
    let Some(live) = inner.runs.get(id) else {
        return;
    };
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        // It may have ended before its start was answered.
        if !live.wait_started().await || matches!(live.state(), State::Exited(_)) {
            return;
        }
        live.set_health_task(None);
        give_back(&inner, &live).await;
        let exit = exit(exited);
        if live.set_state(State::Exited(exit.clone())) {
            Metrics::count(&inner.metrics.exits);
            inner.happened(Happening::Exited(live.id, live.note.run, exit));
        }
    });
}

/// Gives back what a run has on the host beside its files.
async fn give_back(inner: &Arc<Inner>, live: &Arc<Live>) {
    inner.execs.drop_prepared(live.id);
    if live.note.has_sandbox {
        inner.networks.detach(live.id).await;
    }
    let (host, ended) = (Arc::clone(inner), Arc::clone(live));
    // Processes that outlived process 1 are killed and waited for.
    let released = tokio::task::spawn_blocking(move || host.release(ended.id, &ended.note)).await;
    if let Err(error) = released {
        tracing::error!(instance = %live.id, error = &error as &dyn std::error::Error, "releasing a run failed");
    }
}

fn exit(exited: Exited) -> Exit {
    Exit {
        code: exited.code,
        oom_killed: exited.oom_killed,
        at: exited.at,
    }
}

impl Inner {
    /// Everything there is.
    pub(crate) async fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for live in self.runs.all() {
            found.extend(self.found_run(&live).await);
        }
        let known: HashSet<Id> = found.iter().map(|found| found.id).collect();
        for id in self.directories.instances() {
            if !known.contains(&id)
                && let Ok(Some(last)) = self.kept_exit(id)
            {
                let state = FoundState::Exited(last.exit);
                found.push(Found {
                    id,
                    run: last.run,
                    state,
                    endpoints: Vec::new(),
                    ports: Vec::new(),
                });
            }
        }
        found
    }

    async fn found_run(&self, live: &Live) -> Option<Found> {
        let (pid, started_at) = live.started()?;
        let state = match live.state() {
            State::Running => FoundState::Running {
                pid,
                started_at,
                paused: false,
            },
            State::Paused => FoundState::Running {
                pid,
                started_at,
                paused: true,
            },
            State::Exited(exit) => FoundState::Exited(exit),
        };
        let sandbox = self.networks.sandbox(live.id).await.unwrap_or_else(|error| {
            tracing::warn!(instance = %live.id, error = &error as &dyn std::error::Error, "a network attachment cannot be read");
            None
        });
        let (endpoints, ports) = sandbox
            .map(|sandbox| (sandbox.endpoints, sandbox.ports))
            .unwrap_or_default();
        Some(Found {
            id: live.id,
            run: live.note.run,
            state,
            endpoints,
            ports,
        })
    }
}

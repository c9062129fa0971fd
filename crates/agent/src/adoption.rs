//! Brings the statuses up to date with what is on the node when its agent starts.
//!
//! Runs go on without an agent, and end without one: the keeper remembers how. Who was running
//! and is unknown to it ended with the machine or with the keeper, and nobody knows how: such an
//! exit has the code 255, as with dockerd (moby v28, `daemon/daemon.go`, `restore`).

use std::collections::{HashMap, HashSet};

use engine::{Engine, Found, FoundState};
use jiff::Timestamp;
use model::Id;
use model::instance::{Exit, Instance, InstanceStatus, Phase, Placement, Run};
use store::Store;

use crate::StartError;

/// The exit code of a run that ended unseen.
const UNKNOWN_EXIT: i32 = 255;

/// Writes down what is found; answers what has no record in the store, and must go.
pub(crate) async fn adopt(
    store: &Store,
    engine: &dyn Engine,
    node: Id,
    boot_id: &str,
) -> Result<HashSet<Id>, StartError> {
    let found = engine.found().await.map_err(StartError::Find)?;
    let mut found: HashMap<Id, Found> = found.into_iter().map(|found| (found.id, found)).collect();
    let mut batch = store.transaction();
    let mut checked = Vec::new();
    for (id, placement) in store.list::<Placement>() {
        if placement.value.node != Some(node) {
            continue;
        }
        let Some(instance) = store.get::<Instance>(id) else {
            continue;
        };
        let before = store.get::<InstanceStatus>(id).map(|status| status.value);
        let after = match found.remove(&id) {
            Some(found) => told(&instance.value, before.as_deref(), found, boot_id),
            None => before
                .as_deref()
                .filter(|status| is_up(status))
                .map(|status| ended_unseen(status, boot_id)),
        };
        if let Some(status) = after.as_ref().filter(|status| is_up(status))
            && let Some(health) = &status.health
        {
            checked.push((id, health.clone()));
        }
        if let Some(after) = after
            && before.as_deref() != Some(&after)
        {
            batch.put(id, after);
        }
    }
    store.commit(batch).await.map_err(StartError::Record)?;
    for (id, health) in checked {
        engine.resume_health(id, &health).await;
    }
    Ok(found
        .into_keys()
        .filter(|id| store.get::<Instance>(*id).is_none())
        .collect())
}

/// The status of an instance that the engine knows; `None` where nothing is new.
fn told(
    instance: &Instance,
    before: Option<&InstanceStatus>,
    found: Found,
    boot_id: &str,
) -> Option<InstanceStatus> {
    let known = before.map_or_else(Run::default, |status| status.run);
    if found.run < known {
        // A run that was followed by another, which is gone.
        return before
            .filter(|status| is_up(status))
            .map(|status| ended_unseen(status, boot_id));
    }
    let is_same_run = found.run == known && before.is_some();
    let before = before.filter(|_| is_same_run);
    let mut status = before
        .cloned()
        .unwrap_or_else(|| fresh(instance, found.run));
    boot_id.clone_into(&mut status.boot_id);
    match found.state {
        FoundState::Running {
            pid,
            started_at,
            paused,
        } => {
            status.phase = if paused {
                Phase::Paused
            } else {
                Phase::Running
            };
            status.pid = pid;
            status.started_at = Some(started_at);
            status.exit = None;
            status.endpoints = found.endpoints;
            status.ports = found.ports;
        }
        // Written down already.
        FoundState::Exited(_) if before.is_some_and(|status| !is_up(status)) => return None,
        FoundState::Exited(exit) => end(&mut status, exit),
    }
    Some(status)
}

/// The status of a run that ended unseen.
fn ended_unseen(before: &InstanceStatus, boot_id: &str) -> InstanceStatus {
    let mut status = before.clone();
    boot_id.clone_into(&mut status.boot_id);
    end(
        &mut status,
        Exit {
            code: UNKNOWN_EXIT,
            oom_killed: false,
            at: Timestamp::now(),
        },
    );
    status
}

/// Notes the end of a status's run.
pub(crate) fn end(status: &mut InstanceStatus, exit: Exit) {
    status.phase = Phase::Exited;
    status.pid = 0;
    status.exit = Some(exit);
    status.error = None;
    status.endpoints.clear();
    status.ports.clear();
}

/// The status of an instance of which nothing was written down.
pub(crate) fn fresh(instance: &Instance, run: Run) -> InstanceStatus {
    InstanceStatus {
        generation: instance.meta.generation,
        run,
        phase: Phase::Created,
        pid: 0,
        started_at: None,
        exit: None,
        error: None,
        health: None,
        endpoints: Vec::new(),
        ports: Vec::new(),
        boot_id: String::new(),
    }
}

/// Whether its processes exist.
pub(crate) fn is_up(status: &InstanceStatus) -> bool {
    matches!(status.phase, Phase::Running | Phase::Paused)
}

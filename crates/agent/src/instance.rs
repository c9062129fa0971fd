//! Instances on this node: made, started, changed, stopped and removed as their records say.
//!
//! Reads spec, placement and retry; writes the [`InstanceStatus`]. One instance is worked on by
//! one run of [`Reconciler::reconcile`] at a time, in steps: each reads everything again, does one
//! thing and writes down what came of it, so that it may be killed between any two.

mod change;
mod link;
mod start;
mod stop;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Engine;
use model::instance::{
    Failure, FailureKind, Instance, InstanceStatus, Phase, Placement, Retry, Run, StopRequest,
};
use model::meta::NODE_FINALIZER;
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, CommitError, Part, Store, Versioned};
use tokio::sync::Semaphore;

use crate::ReconcileError;
use crate::adoption::{end, fresh, is_up};
use crate::network::Ensured;
use crate::sightings::Sightings;

/// Starts at once; more would only wait for each other in the kernel.
const STARTS_AT_ONCE: usize = 16;

/// What a reconciler works with.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) engine: Arc<dyn Engine>,
    /// The node it works for.
    pub(crate) node: Id,
    /// The boot of the machine.
    pub(crate) boot_id: String,
    pub(crate) sightings: Arc<Sightings>,
    pub(crate) ensured: Arc<Ensured>,
    /// What is on the node and has no record.
    pub(crate) orphans: HashSet<Id>,
}

/// Makes, starts, changes, stops and removes instances.
pub(crate) struct Reconciler {
    parts: Parts,
    /// Instances that are known to be made.
    made: Mutex<HashSet<Id>>,
    starts: Semaphore,
}

/// All records of one instance, as they are at one moment.
struct Records {
    id: Id,
    instance: Versioned<Instance>,
    placement: Arc<Placement>,
    retry: Option<Arc<Retry>>,
    status: Option<Arc<InstanceStatus>>,
}

impl Records {
    /// The run that is wanted now: the user's start, or the newest retry of it.
    fn wanted_run(&self) -> Run {
        let intent = &self.instance.value.spec.run;
        let retry = self
            .retry
            .as_ref()
            .filter(|retry| retry.epoch == intent.epoch);
        Run {
            epoch: intent.epoch,
            attempt: retry.map_or(0, |retry| retry.attempt),
        }
    }

    /// The run that the status speaks of.
    fn last_run(&self) -> Run {
        self.status
            .as_ref()
            .map_or_else(Run::default, |status| status.run)
    }

    /// The status, or a new one, to be changed and written.
    fn status_to_write(&self) -> InstanceStatus {
        self.status
            .as_deref()
            .cloned()
            .unwrap_or_else(|| fresh(&self.instance.value, Run::default()))
    }
}

/// What a step came to.
enum Step {
    /// Something was written; look again.
    Again,
    /// Nothing more to do now.
    Done(Next),
}

impl Reconciler {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            made: Mutex::default(),
            starts: Semaphore::new(STARTS_AT_ONCE),
        }
    }

    fn made(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self, id: Id, instance: Versioned<Instance>) -> Option<Records> {
        let store = &self.parts.store;
        let placement = store.get::<Placement>(id)?.value;
        (placement.node == Some(self.parts.node)).then(|| Records {
            id,
            instance,
            placement,
            retry: store.get(id).map(|found| found.value),
            status: store.get(id).map(|found| found.value),
        })
    }

    async fn step(&self, id: Id) -> Result<Step, ReconcileError> {
        let Some(instance) = self.parts.store.get::<Instance>(id) else {
            self.forget(id).await?;
            return Ok(Step::Done(Next::Change));
        };
        let Some(records) = self.records(id, instance) else {
            return Ok(Step::Done(Next::Change));
        };
        if self.note_sightings(&records).await? {
            return Ok(Step::Again);
        }
        let intent = &records.instance.value.spec.run;
        let is_deleted = records.instance.value.meta.deleted_at.is_some();
        match &records.status {
            Some(status) if is_up(status) => {
                if is_deleted {
                    let kill = StopRequest {
                        signal: Some("KILL".to_owned()),
                        timeout_secs: None,
                    };
                    self.stop(&records, status, kill).await
                } else if !intent.started || intent.epoch > status.run.epoch {
                    let how = intent
                        .stop
                        .clone()
                        .filter(|_| !intent.started)
                        .unwrap_or_default();
                    self.stop(&records, status, how).await
                } else {
                    self.change(&records, status).await
                }
            }
            _ if is_deleted => self.remove(&records).await,
            None => self.create(&records).await,
            Some(_) => self.start_if_due(&records).await,
        }
    }

    /// Writes down what was seen of an instance; answers whether anything was.
    async fn note_sightings(&self, records: &Records) -> Result<bool, CommitError> {
        let sightings = &self.parts.sightings;
        let Some(status) = records.status.as_ref().filter(|status| is_up(status)) else {
            // What it says of an older run is known; of a newer one it is asked again.
            return Ok(false);
        };
        let mut after = InstanceStatus::clone(status);
        let exit = sightings
            .take_exit(records.id)
            .filter(|(run, _)| *run >= status.run);
        if let Some(health) = sightings.take_health(records.id) {
            after.health = Some(health);
        }
        if let Some((run, exit)) = &exit {
            after.run = *run;
            end(&mut after, exit.clone());
        }
        if after == **status {
            return Ok(false);
        }
        let written = self.write(records.id, after).await;
        if written.is_err()
            && let Some((run, exit)) = exit
        {
            sightings.put_back_exit(records.id, run, exit);
        }
        written.map(|()| true)
    }

    async fn write(&self, id: Id, status: InstanceStatus) -> Result<(), CommitError> {
        let mut batch = self.parts.store.transaction();
        batch.put(id, status);
        self.parts.store.commit(batch).await.map(drop)
    }

    /// Makes what an instance needs before its first start.
    async fn create(&self, records: &Records) -> Result<Step, ReconcileError> {
        let mut status = fresh(&records.instance.value, Run::default());
        self.parts.boot_id.clone_into(&mut status.boot_id);
        // The start will fail for the same reason, and be told it.
        status.error = self.make(records.id, &records.instance.value).await.err();
        self.write(records.id, status).await?;
        Ok(Step::Again)
    }

    async fn make(&self, id: Id, instance: &Instance) -> Result<(), Failure> {
        if self.made().contains(&id) {
            return Ok(());
        }
        self.parts.engine.create(instance).await?;
        self.made().insert(id);
        Ok(())
    }

    /// Removes an instance from the node, and its records where nobody else cleans up.
    async fn remove(&self, records: &Records) -> Result<Step, ReconcileError> {
        let id = records.id;
        let mut rest = Instance::clone(&records.instance.value);
        if !rest
            .meta
            .finalizers
            .iter()
            .any(|finalizer| finalizer == NODE_FINALIZER)
        {
            return Ok(Step::Done(Next::Change));
        }
        if let Err(source) = self.parts.engine.remove(id).await {
            let mut status = records.status_to_write();
            status.phase = Phase::Dead;
            status.error = Some(source.clone());
            self.write(id, status).await?;
            return Err(ReconcileError::Engine {
                attempt: "remove an instance from this node",
                source,
            });
        }
        self.made().remove(&id);
        self.parts.sightings.forget(id);
        rest.meta
            .finalizers
            .retain(|finalizer| finalizer != NODE_FINALIZER);
        let revision = records.instance.revision;
        let mut batch = self.parts.store.transaction();
        if rest.meta.finalizers.is_empty() {
            batch
                .delete::<Instance>(id, Some(revision))
                .delete::<Placement>(id, None)
                .delete::<Retry>(id, None)
                .delete::<InstanceStatus>(id, None);
        } else {
            batch.update(id, revision, rest);
        }
        match self.parts.store.commit(batch).await {
            Ok(_) => Ok(Step::Done(Next::Change)),
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Ok(Step::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes from the node what has no record.
    async fn forget(&self, id: Id) -> Result<(), ReconcileError> {
        let was_made = self.made().remove(&id);
        self.parts.sightings.forget(id);
        if was_made || self.parts.orphans.contains(&id) {
            // It may run; if it does not, that is as well.
            if let Err(error) = self.parts.engine.signal(id, "KILL").await {
                tracing::debug!(%id, %error, "an instance without a record does not run");
            }
            let removed = self.parts.engine.remove(id).await;
            removed.map_err(ReconcileError::engine(
                "remove an instance without a record from this node",
            ))?;
        }
        Ok(())
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "instance on the node";
    // Most of them wait for a process to stop.
    const CONCURRENCY: usize = 1_024;

    fn all(&self) -> Vec<Id> {
        let instances = self
            .parts
            .store
            .list::<Instance>()
            .into_iter()
            .map(|(id, _)| id);
        instances
            .chain(self.parts.orphans.iter().copied())
            .collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        // The status is written here.
        let concerns = change.kind == Kind::Instance && change.part != Part::Observed;
        if concerns {
            vec![change.id]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        loop {
            if let Step::Done(next) = self.step(id).await? {
                return Ok(next);
            }
        }
    }
}

/// How long until a moment; `None` once it has come.
fn until(moment: jiff::Timestamp) -> Option<Duration> {
    Duration::try_from(moment.duration_since(jiff::Timestamp::now()))
        .ok()
        .filter(|wait| !wait.is_zero())
}

fn not_found(message: String) -> Failure {
    Failure {
        kind: FailureKind::NotFound,
        message,
    }
}

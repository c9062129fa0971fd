//! Snapshots on this node: made of what volumes hold, and removed.

use std::sync::Arc;

use engine::Engine;
use model::instance::Failure;
use model::snapshot::{Snapshot, SnapshotStatus};
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, CommitError, Part, Store};

use crate::{ReconcileError, seen};

/// Makes snapshots and removes them.
pub(crate) struct Reconciler {
    store: Store,
    engine: Arc<dyn Engine>,
}

impl Reconciler {
    pub(crate) fn new(store: Store, engine: Arc<dyn Engine>) -> Self {
        Self { store, engine }
    }

    /// Writes down what came of it, unless that is known.
    async fn note(&self, id: Id, error: Option<&Failure>) -> Result<(), CommitError> {
        let status = SnapshotStatus {
            error: error.cloned(),
        };
        seen::note(&self.store, id, status).await
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "snapshot on the node";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        let snapshots = self.store.list::<Snapshot>();
        snapshots.into_iter().map(|(id, _)| id).collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        // The status is written here.
        let concerns =
            change.kind == Kind::Snapshot && change.part == Part::Desired && !change.deleted;
        concerns.then_some(change.id).into_iter().collect()
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        let Some(found) = self.store.get::<Snapshot>(id) else {
            return Ok(Next::Change);
        };
        if found.value.meta.deleted_at.is_none() {
            // One that failed is not tried again: it would be of another moment.
            if self.store.get::<SnapshotStatus>(id).is_none() {
                let made = self.engine.ensure_snapshot(&found.value).await;
                self.note(id, made.as_ref().err()).await?;
            }
            return Ok(Next::Change);
        }
        let removed = self.engine.remove_snapshot(id).await;
        if let Err(failure) = &removed {
            self.note(id, Some(failure)).await?;
        }
        removed.map_err(ReconcileError::engine("remove a snapshot from this node"))?;
        let mut batch = self.store.transaction();
        batch
            .delete::<Snapshot>(id, Some(found.revision))
            .delete::<SnapshotStatus>(id, None);
        self.store.commit(batch).await?;
        Ok(Next::Change)
    }
}

//! Volumes on this node: made before an instance needs them, removed after the last one is gone.

use std::sync::Arc;

use engine::Engine;
use model::instance::{Failure, Instance};
use model::meta::NODE_FINALIZER;
use model::volume::{Volume, VolumeStatus};
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, CommitError, Part, Store};

use crate::{ReconcileError, seen};

/// Makes volumes and removes them.
pub(crate) struct Reconciler {
    store: Store,
    engine: Arc<dyn Engine>,
}

impl Reconciler {
    pub(crate) fn new(store: Store, engine: Arc<dyn Engine>) -> Self {
        Self { store, engine }
    }

    /// Whether an instance that still exists mounts a volume.
    fn is_used(&self, volume: &Volume) -> bool {
        self.store.list::<Instance>().iter().any(|(_, found)| {
            found.value.meta.project == volume.meta.project
                && found
                    .value
                    .spec
                    .volumes()
                    .any(|name| *name == volume.meta.name)
        })
    }

    /// Writes down what came of it, unless that is known.
    async fn note(&self, volume: &Volume, error: Option<&Failure>) -> Result<(), CommitError> {
        let id = volume.meta.id;
        let known = self.store.get::<VolumeStatus>(id);
        let status = VolumeStatus {
            error: error.cloned(),
            size_gib: match error {
                None => volume.spec.size_gib,
                Some(_) => known.as_ref().and_then(|known| known.value.size_gib),
            },
            generation: volume.meta.generation,
        };
        seen::note(&self.store, id, status).await
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "volume on the node";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        self.store
            .list::<Volume>()
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        match (change.kind, change.part, change.deleted) {
            // The status is written here.
            (Kind::Volume, Part::Desired, false) => vec![change.id],
            // Its volumes may have waited for its end.
            (Kind::Instance, Part::Desired, true) => change
                .value::<Instance>()
                .iter()
                .flat_map(|instance| {
                    let project = instance.meta.project;
                    instance
                        .spec
                        .volumes()
                        .filter_map(move |name| self.store.by_name::<Volume>(project, name))
                })
                .map(|volume| volume.value.meta.id)
                .collect(),
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        let Some(found) = self.store.get::<Volume>(id) else {
            return Ok(Next::Change);
        };
        let volume = &found.value;
        if volume.meta.deleted_at.is_none() {
            let made = self.engine.ensure_volume(volume).await;
            self.note(volume, made.as_ref().err()).await?;
            // One with a size stays as its status says until its user decides.
            if volume.spec.size_gib.is_none() {
                made.map_err(ReconcileError::engine("make a volume on this node"))?;
            }
            return Ok(Next::Change);
        }
        let is_ours = volume
            .meta
            .finalizers
            .iter()
            .any(|finalizer| finalizer == NODE_FINALIZER);
        if !is_ours || self.is_used(volume) {
            return Ok(Next::Change);
        }
        let removed = self.engine.remove_volume(volume).await;
        if let Err(failure) = &removed {
            self.note(volume, Some(failure)).await?;
        }
        removed.map_err(ReconcileError::engine("remove a volume from this node"))?;
        let mut rest = Volume::clone(volume);
        rest.meta
            .finalizers
            .retain(|finalizer| finalizer != NODE_FINALIZER);
        let mut batch = self.store.transaction();
        if rest.meta.finalizers.is_empty() {
            batch
                .delete::<Volume>(id, Some(found.revision))
                .delete::<VolumeStatus>(id, None);
        } else {
            batch.update(id, found.revision, rest);
        }
        self.store.commit(batch).await?;
        Ok(Next::Change)
    }
}

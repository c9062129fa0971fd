//! Networks on this node: bridge and rules are there before an instance needs them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Engine;
use model::instance::Failure;
use model::meta::{NODE_FINALIZER, PORTS_FINALIZER};
use model::network::{Driver, Network, NetworkStatus};
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, CommitError, Part, Store};

use crate::{ReconcileError, seen};

/// Networks that are known to be there, and in which generation, so that a start need not ask.
#[derive(Default)]
pub(crate) struct Ensured(Mutex<HashMap<Id, u64>>);

impl Ensured {
    fn known(&self) -> MutexGuard<'_, HashMap<Id, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a network unless it is known to be there.
    pub(crate) async fn ensure(
        &self,
        engine: &dyn Engine,
        network: &Network,
    ) -> Result<(), Failure> {
        let (id, generation) = (network.meta.id, network.meta.generation);
        let is_known = self
            .known()
            .get(&id)
            .is_some_and(|known| *known >= generation);
        if network.spec.driver != Driver::Bridge || is_known {
            return Ok(());
        }
        engine.ensure_network(network).await?;
        self.known().insert(id, generation);
        Ok(())
    }
}

/// Makes networks and removes them.
pub(crate) struct Reconciler {
    store: Store,
    engine: Arc<dyn Engine>,
    ensured: Arc<Ensured>,
}

impl Reconciler {
    pub(crate) fn new(store: Store, engine: Arc<dyn Engine>, ensured: Arc<Ensured>) -> Self {
        Self {
            store,
            engine,
            ensured,
        }
    }

    /// Writes down what came of making it, unless that is known.
    async fn note(&self, id: Id, error: Option<&Failure>) -> Result<(), CommitError> {
        let status = NetworkStatus {
            error: error.cloned(),
        };
        seen::note(&self.store, id, status).await
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "network on the node";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        self.store
            .list::<Network>()
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        // The status is written here.
        if change.kind == Kind::Network && change.part == Part::Desired && !change.deleted {
            vec![change.id]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        let Some(found) = self.store.get::<Network>(id) else {
            return Ok(Next::Change);
        };
        let network = &found.value;
        if network.meta.deleted_at.is_none() {
            let made = self.ensured.ensure(&*self.engine, network).await;
            self.note(id, made.as_ref().err()).await?;
            made.map_err(ReconcileError::engine("make a network on this node"))?;
            return Ok(Next::Change);
        }
        let has = |finalizer: &str| network.meta.finalizers.iter().any(|has| has == finalizer);
        if !has(NODE_FINALIZER) || has(PORTS_FINALIZER) {
            return Ok(Next::Change);
        }
        self.ensured.known().remove(&id);
        if network.spec.driver == Driver::Bridge {
            let removed = self.engine.remove_network(id).await;
            removed.map_err(ReconcileError::engine("remove a network from this node"))?;
        }
        let mut rest = Network::clone(network);
        rest.meta
            .finalizers
            .retain(|finalizer| finalizer != NODE_FINALIZER);
        let mut batch = self.store.transaction();
        if rest.meta.finalizers.is_empty() {
            batch
                .delete::<Network>(id, Some(found.revision))
                .delete::<NetworkStatus>(id, None);
        } else {
            batch.update(id, found.revision, rest);
        }
        self.store.commit(batch).await?;
        Ok(Next::Change)
    }
}

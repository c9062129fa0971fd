//! One node's loop: desired here, engine, observed.
//!
//! The agent carries out on its machine what the store says should be there, and writes down what
//! it sees. It decides nothing: where and with which addresses is the placement's word, whether
//! again is the retry's. It is the only writer of the statuses of its instances. The binary starts
//! one; streams (attach, exec, logs) go to the engine without it.

mod adoption;
pub mod identity;
mod instance;
pub mod machine;
mod network;
mod port;
mod registration;
mod router;
mod seen;
mod sightings;
mod snapshot;
mod volume;

use std::sync::Arc;

use engine::Engine;
use model::Id;
use model::instance::Failure;
use model::node::NodeSpec;
use store::runner::Runner;
use store::{CommitError, Store};
use tokio::task::JoinHandle;

use crate::sightings::Sightings;

/// What a node is, for its record.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its identity, the same at every start; see [`identity`].
    pub id: Id,
    /// Its host name.
    pub name: String,
    /// What it has; see [`machine`].
    pub spec: NodeSpec,
}

/// An agent at work.
pub struct Agent {
    node: Id,
    store: Store,
    runners: Vec<Runner>,
    listener: JoinHandle<()>,
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is on the machine cannot be found out.
    #[error("find what runs on this node")]
    Find(#[source] Failure),
    /// What was found cannot be written down.
    #[error("write down what runs on this node")]
    Record(#[source] CommitError),
    /// The node's record cannot be written.
    #[error("register this node")]
    Register(#[source] CommitError),
}

/// Why something on the node is not as it should be yet; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The store did not take what was seen.
    #[error("write down what was seen")]
    Record(#[from] CommitError),
    /// The engine could not do it.
    #[error("{attempt}")]
    Engine {
        /// What was tried.
        attempt: &'static str,
        /// What the engine answered.
        source: Failure,
    },
}

impl ReconcileError {
    pub(crate) fn engine(attempt: &'static str) -> impl FnOnce(Failure) -> Self {
        move |source| Self::Engine { attempt, source }
    }
}

impl Agent {
    /// Registers the node, takes over what runs on it, and begins to work.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Fails where it cannot be found out what runs on the node, or not be written down.
    pub async fn start(
        store: Store,
        engine: Arc<dyn Engine>,
        announcement: Announcement,
    ) -> Result<Self, StartError> {
        let node = announcement.id;
        let boot_id = announcement.spec.boot_id.clone();
        // Listening begins before looking, so that no exit falls in between.
        let happenings = engine.happenings();
        let orphans = adoption::adopt(&store, &*engine, node, &boot_id).await?;
        registration::register(&store, announcement)
            .await
            .map_err(StartError::Register)?;

        port::sweep(&store, &*engine).await;

        let sightings = Arc::new(Sightings::default());
        let ensured = Arc::new(network::Ensured::default());
        let networks =
            network::Reconciler::new(store.clone(), Arc::clone(&engine), Arc::clone(&ensured));
        let ports = port::Reconciler::new(store.clone(), Arc::clone(&engine));
        let routers = router::Reconciler::new(store.clone(), Arc::clone(&engine), node);
        let volumes = volume::Reconciler::new(store.clone(), Arc::clone(&engine));
        let snapshots = snapshot::Reconciler::new(store.clone(), Arc::clone(&engine));
        let instances = instance::Reconciler::new(instance::Parts {
            store: store.clone(),
            engine: Arc::clone(&engine),
            node,
            boot_id,
            sightings: Arc::clone(&sightings),
            ensured,
            orphans,
        });
        let instances = Runner::start(&store, Arc::new(instances));
        let listener = tokio::spawn(sightings::listen(
            engine,
            happenings,
            sightings,
            instances.wishes(),
        ));
        let runners = vec![
            instances,
            Runner::start(&store, Arc::new(networks)),
            Runner::start(&store, Arc::new(ports)),
            Runner::start(&store, Arc::new(routers)),
            Runner::start(&store, Arc::new(volumes)),
            Runner::start(&store, Arc::new(snapshots)),
        ];
        Ok(Self {
            node,
            store,
            runners,
            listener,
        })
    }

    /// The node's identity.
    #[must_use]
    pub const fn node(&self) -> Id {
        self.node
    }

    /// Stops working; what runs on the node goes on.
    pub async fn shut_down(self) {
        for runner in self.runners {
            runner.shut_down().await;
        }
        self.listener.abort();
        if let Err(error) = registration::leave(&self.store, self.node).await {
            tracing::warn!(%error, "the node could not be marked as not ready");
        }
    }
}

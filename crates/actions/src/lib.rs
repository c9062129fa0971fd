//! What a caller may ask: authorise, validate, write what is wanted, wait for what becomes of it.
//!
//! Front ends call the functions of the noun's module and translate [`ActionError`] into their own
//! envelope. Nothing here knows HTTP, an engine or a controller: intent goes into the store, facts
//! come out of it, and byte streams go through [`nodes::Nodes`].

pub mod aggregate;
pub mod build;
mod caller;
pub mod commit;
pub mod distribution;
pub mod downloads;
pub mod error;
pub mod event;
pub mod exec;
pub mod firewall;
pub mod flavor;
pub mod floating;
pub mod identity;
pub mod image;
pub mod instance;
mod isolation;
pub mod key_pair;
pub mod metadata;
pub mod metadata_namespace;
pub mod network;
pub mod node;
pub mod nodes;
mod observer;
mod openssh;
pub mod policy;
pub mod port;
pub mod quota;
pub mod refusal;
pub mod registered_image;
pub mod registry;
pub mod router;
pub mod server;
pub mod server_group;
pub mod snapshot;
pub mod stream;
pub mod subnet;
pub mod system;
pub mod usage;
pub mod volume;
pub mod volume_attachment;
pub mod volume_transfer;
pub mod volume_type;
pub mod zone;

use std::sync::Arc;

pub use caller::{Caller, Scope};
pub use error::{ActionError, ErrorKind};
use jiff::Timestamp;
use model::ProjectId;

/// Everything that actions work on. Cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    store: store::Store,
    images: ::image::Store,
    nodes: Arc<dyn nodes::Nodes>,
    observer: Arc<observer::Observer>,
    identity: Arc<identity::Identity>,
    downloads: Arc<dyn downloads::Downloads>,
    registry: Arc<registry::Registry>,
    registries: ::image::registry::Registries,
    contexts: Arc<::build::Contexts>,
    address_pools: network::AddressPools,
}

impl Cloud {
    /// Starts to follow the store, so that waits and events work, until the last clone is dropped.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(store: store::Store, images: ::image::Store, nodes: Arc<dyn nodes::Nodes>) -> Self {
        let observer = observer::Observer::spawn(store.clone());
        observer.follow_news(store.clone(), nodes.news());
        let (_, events) = observer.subscribe();
        drop(tokio::spawn(image::collect_unused(
            store.clone(),
            images.clone(),
            events,
        )));
        Self {
            store,
            images,
            nodes,
            observer,
            identity: Arc::default(),
            downloads: Arc::new(downloads::NoDownloads),
            registry: Arc::default(),
            registries: ::image::registry::Registries::new(Default::default()),
            contexts: Arc::default(),
            address_pools: network::AddressPools::default(),
        }
    }

    /// Lets data come from other servers; without, none does.
    #[must_use]
    pub fn with_downloads(mut self, downloads: impl downloads::Downloads) -> Self {
        self.downloads = Arc::new(downloads);
        self
    }

    /// Speaks to registries by these rules; without, by the usual ones.
    #[must_use]
    pub fn with_registries(mut self, registries: ::image::registry::Registries) -> Self {
        self.registries = registries;
        self
    }

    /// Gives networks without a range one of these pools; without, of dockerd's.
    #[must_use]
    pub fn with_address_pools(mut self, pools: network::AddressPools) -> Self {
        self.address_pools = pools;
        self
    }

    /// Writes what a user wants. The write survives the death of the process when this returns;
    /// awaiting the ticket makes it survive a power cut.
    async fn commit(
        &self,
        transaction: store::Transaction,
    ) -> Result<store::Committed, ActionError> {
        self.store
            .commit(transaction)
            .await
            .map_err(ActionError::from)
    }

    /// As [`Cloud::commit`], and waits until it survives a power cut.
    async fn commit_durably(&self, transaction: store::Transaction) -> Result<(), ActionError> {
        durable(self.commit(transaction).await?.durable).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Waits until a write survives a power cut.
async fn durable(ticket: store::Durable) -> Result<(), ActionError> {
    ticket.wait().await.map_err(|error| {
        ActionError::new(
            ErrorKind::Internal,
            "the change could not be flushed to disk; see the daemon's log",
        )
        .caused_by(error)
    })
}

/// Whether an object of `owner` is there for the caller. Another project's looks missing.
fn is_visible(caller: &Caller, owner: ProjectId) -> bool {
    caller.project() == owner
}

/// Whether the caller sees an object of `owner`: its project's own, and an admin everybody's.
fn is_seen(caller: &Caller, owner: ProjectId) -> bool {
    caller.is_admin() || is_visible(caller, owner)
}

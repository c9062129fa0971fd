//! The registry: repositories of projects, and the blobs, manifests and tags in them.
//!
//! A file a noun. [`visitor`] says who asks and what they may, [`token`] makes the tokens that clients
//! show, [`name`] finds a repository by its address, [`collect`] frees what nobody needs while all of
//! this goes on. The records are in the store, the bytes on the content store's shelf: a record is
//! written once its bytes are safe, and bytes go once no record names them.

pub mod blob;
pub mod catalogue;
pub mod collect;
mod document;
mod error;
pub mod manifest;
pub mod name;
pub mod referrer;
pub mod repository;
pub mod tag;
pub mod token;
pub mod upload;
pub mod upstream;
pub mod visitor;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use model::Id;

use crate::Cloud;

pub use error::RegistryError;
pub use name::RepositoryName;
pub use visitor::{Right, Visitor};

/// The rules of the registry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a token is valid, in seconds; at most as long as those of identity.
    pub token_seconds: i64,
    /// How long an upload is kept that nothing is added to, in seconds.
    pub upload_idle_seconds: i64,
    /// How long a blob is kept that no manifest needs, and a repository that has nothing, in seconds.
    pub grace_seconds: i64,
    /// How long a manifest is kept that has no tag and that no other one needs, in seconds; `None`
    /// keeps it until it is deleted.
    pub untagged_seconds: Option<i64>,
    /// How often that is looked at, in seconds.
    pub collect_every_seconds: u64,
    /// The registries behind this one.
    pub upstreams: Vec<Arc<upstream::Upstream>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_seconds: 300,
            upload_idle_seconds: 3600,
            grace_seconds: 3600,
            untagged_seconds: None,
            collect_every_seconds: 60,
            upstreams: Vec::new(),
        }
    }
}

/// What the registry keeps in memory.
#[derive(Default)]
pub(crate) struct Registry {
    settings: Settings,
    uploads: upload::Sessions,
    upstreams: upstream::Upstreams,
    /// What was asked for since the collector last looked: records whose grace begins again.
    asked: Mutex<HashSet<Id>>,
}

impl Cloud {
    /// Goes by these rules on the registry from now on, instead of the usual ones.
    #[must_use]
    pub fn with_registry(mut self, settings: Settings) -> Self {
        self.registry = Arc::new(Registry {
            settings,
            ..Registry::default()
        });
        self
    }
}

//! What is true: records with revisions, watches and compare-and-swap.
//!
//! Reads come from memory and cost a look-up. Writes are atomic batches with preconditions; a
//! [`backend`] makes them last. The store does not know who reads it, decides nothing, and holds
//! no policy. `actions`, the controllers and the agents call it.

mod backend;
pub mod record;
pub mod runner;
mod transaction;
mod view;
mod watch;

use std::path::Path;
use std::sync::Arc;

use model::{Id, Kind, ProjectId};

use crate::backend::Backend;
pub use crate::backend::OpenError;
pub use crate::backend::durable::{Durable, FlushError};
pub use crate::record::{Part, Record};
pub use crate::transaction::{CommitError, Transaction};
use crate::view::View;
pub use crate::watch::{Change, Notice, ObjectWatch, Watch};

/// Orders everything that was ever written: each commit gets the next number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A record and the commit that wrote it.
#[derive(Debug)]
pub struct Versioned<R> {
    /// The commit that wrote it; give it to [`Transaction::update`] to write only if nobody else did.
    pub revision: Revision,
    /// The record.
    pub value: Arc<R>,
}

impl<R> Clone for Versioned<R> {
    fn clone(&self) -> Self {
        Self {
            revision: self.revision,
            value: Arc::clone(&self.value),
        }
    }
}

/// A commit that will survive the death of this process.
#[derive(Debug)]
pub struct Committed {
    /// The commit's number.
    pub revision: Revision,
    /// Tells when it will survive a power cut too.
    pub durable: Durable,
}

/// All records. A clone is another handle to the same ones.
#[derive(Clone)]
pub struct Store {
    view: Arc<View>,
    backend: Arc<dyn Backend>,
}

impl Store {
    /// An empty store that lasts as long as the process.
    #[must_use]
    pub fn memory() -> Self {
        let view = Arc::new(View::default());
        let backend = Arc::new(backend::memory::Memory::new(Arc::clone(&view)));
        Self { view, backend }
    }

    /// The store in a directory, which is made if it is missing. Everything is read into memory.
    ///
    /// # Errors
    /// Fails where the directory cannot be made, another process has the store open, or it holds
    /// what this version cannot read.
    pub async fn embedded(directory: &Path) -> Result<Self, OpenError> {
        let view = Arc::new(View::default());
        let backend =
            Arc::new(backend::embedded::Embedded::open(directory, Arc::clone(&view)).await?);
        Ok(Self { view, backend })
    }

    /// One record.
    #[must_use]
    pub fn get<R: Record>(&self, id: Id) -> Option<Versioned<R>> {
        self.view.get(id)
    }

    /// Every record of a type, by identity.
    #[must_use]
    pub fn list<R: Record>(&self) -> Vec<(Id, Versioned<R>)> {
        self.view.list()
    }

    /// The record that has this name. Types without names have none.
    #[must_use]
    pub fn by_name<R: Record>(&self, project: ProjectId, name: &str) -> Option<Versioned<R>> {
        self.view.by_name(project, name)
    }

    /// Every record of a type that has a name in this project, by name.
    #[must_use]
    pub fn named<R: Record>(&self, project: ProjectId) -> Vec<Versioned<R>> {
        self.view.named(project)
    }

    /// The newest commit that reads show.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.view.revision()
    }

    /// The newest commit that touched a record of these kinds: what was made of them before is true
    /// for as long as this does not change.
    #[must_use]
    pub fn touched(&self, kinds: &[Kind]) -> Revision {
        self.view.touched(kinds)
    }

    /// An empty batch of writes.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        Transaction::default()
    }

    /// Writes a batch: all of it, or nothing.
    ///
    /// Answers once it survives the death of this process; reads show it from then on. Dropping
    /// the future does not take the batch back. An empty batch is no commit.
    ///
    /// # Errors
    /// Says which precondition did not hold, or why nothing can be written; nothing was written.
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        let batch = transaction.into_batch()?;
        if batch.writes.is_empty() {
            return Ok(Committed {
                revision: self.revision(),
                durable: Durable::already(),
            });
        }
        self.backend.commit(batch).await
    }

    /// What changes from now on, in order.
    ///
    /// Begin to watch before reading, then nothing is missed.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(&self.view)
    }

    /// That any part of one object changes from now on. Cheap however many wait.
    #[must_use]
    pub fn watch_object(&self, id: Id) -> ObjectWatch {
        ObjectWatch::new(&self.view, id)
    }
}

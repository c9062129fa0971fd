//! What makes commits last, and orders them.
//!
//! A backend gives every batch whose preconditions hold the next revision, and applies it to the
//! view *before* it answers. The local ones are the only writer and check against the view; one
//! over the network would let its server compare, and apply what its watch tells. One suite
//! (`tests/suite.rs`) holds them all to the same behaviour.

pub(crate) mod durable;
pub(crate) mod embedded;
pub(crate) mod memory;

use std::path::PathBuf;

use async_trait::async_trait;
use model::Id;

use crate::Committed;
use crate::transaction::{Batch, CommitError};

/// What makes commits last, and orders them.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// Writes a batch, which is not empty, and applies it to the view; or refuses it whole.
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError>;
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory cannot be made.
    #[error("make the store's directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the store in {} is in use: another daemon runs on this data directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("the store in {} has format {found}; this version reads up to {known}", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that can be read.
        known: i64,
    },
    /// The database cannot be opened or read.
    #[error("open the database {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database answered.
        source: rusqlite::Error,
    },
    /// Its log cannot be opened for flushing, or no thread can be started for it.
    #[error("prepare the write-ahead log {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A record cannot be read.
    #[error("decode the {kind} record {id} in {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Kind and part of the record.
        kind: String,
        /// Which object.
        id: Id,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record is of a kind that this version does not know.
    #[error("{} holds a record of the unknown kind {kind:?}", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// Kind and part as they are written.
        kind: String,
    },
}

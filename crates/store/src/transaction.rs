//! A batch of writes with its preconditions, and why it may be refused.

use std::any::Any;
use std::sync::Arc;

use model::{Id, Kind, ProjectId};

use crate::Revision;
use crate::record::{Part, Record};

/// Which record: every record has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) part: Part,
    pub(crate) id: Id,
}

impl Key {
    pub(crate) fn of<R: Record>(id: Id) -> Self {
        Self {
            kind: R::KIND,
            part: R::PART,
            id,
        }
    }
}

/// What must be so for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// There is no such record.
    Absent,
    /// The record was last written by this commit.
    At(Revision),
    /// Whatever.
    Anything,
}

/// A record on its way in or out of a backend.
#[derive(Clone)]
pub(crate) struct Value {
    /// The record itself, of the type that its key says.
    pub(crate) record: Arc<dyn Any + Send + Sync>,
    /// The name to keep unique.
    pub(crate) name: Option<(ProjectId, String)>,
    /// The record as JSON.
    pub(crate) json: String,
}

impl Value {
    /// A record with its JSON.
    pub(crate) fn new<R: Record>(record: R, json: String) -> Self {
        let name = record
            .name()
            .map(|(project, name)| (project, name.to_owned()));
        Self {
            record: Arc::new(record),
            name,
            json,
        }
    }
}

/// One write.
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) expected: Expected,
    /// `None` deletes.
    pub(crate) value: Option<Value>,
}

/// What is written, and what must be so meanwhile.
#[derive(Default)]
pub(crate) struct Batch {
    /// Records that are not written and must be as they were.
    pub(crate) requirements: Vec<(Key, Revision)>,
    pub(crate) writes: Vec<Write>,
}

/// A batch of writes, made by [`crate::Store::transaction`].
#[derive(Default)]
pub struct Transaction {
    batch: Batch,
    unencodable: Option<CommitError>,
}

impl Transaction {
    /// Writes a new record; the batch is refused if there is one already, or its name is taken.
    pub fn insert<R: Record>(&mut self, id: Id, value: R) -> &mut Self {
        self.write(id, Expected::Absent, value)
    }

    /// Writes a record over the one that commit `expected` wrote; the batch is refused if there is
    /// none or a newer one, or its name is taken.
    pub fn update<R: Record>(&mut self, id: Id, expected: Revision, value: R) -> &mut Self {
        self.write(id, Expected::At(expected), value)
    }

    /// Writes a record whatever was there: for parts that have one writer, such as a status.
    pub fn put<R: Record>(&mut self, id: Id, value: R) -> &mut Self {
        self.write(id, Expected::Anything, value)
    }

    /// Deletes a record. With `expected` the batch is refused if there is none or a newer one;
    /// without, a record that is not there is fine.
    pub fn delete<R: Record>(&mut self, id: Id, expected: Option<Revision>) -> &mut Self {
        let expected = expected.map_or(Expected::Anything, Expected::At);
        self.batch.writes.push(Write {
            key: Key::of::<R>(id),
            expected,
            value: None,
        });
        self
    }

    /// Refuses the batch where a record that it does not write is gone, or newer than `expected`:
    /// what was decided by reading it would not hold.
    pub fn require<R: Record>(&mut self, id: Id, expected: Revision) -> &mut Self {
        self.batch.requirements.push((Key::of::<R>(id), expected));
        self
    }

    fn write<R: Record>(&mut self, id: Id, expected: Expected, value: R) -> &mut Self {
        match serde_json::to_string(&value) {
            Ok(json) => {
                let value = Some(Value::new(value, json));
                self.batch.writes.push(Write {
                    key: Key::of::<R>(id),
                    expected,
                    value,
                });
            }
            Err(source) => {
                self.unencodable = Some(CommitError::Unencodable {
                    kind: R::KIND,
                    part: R::PART,
                    id,
                    source,
                });
            }
        }
        self
    }

    pub(crate) fn into_batch(self) -> Result<Batch, CommitError> {
        self.unencodable.map_or(Ok(self.batch), Err)
    }
}

/// Why a batch was not written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another object of the kind has the name in the project.
    #[error("the {kind} name {name:?} is taken by {holder}")]
    NameTaken {
        /// Which noun.
        kind: Kind,
        /// The name.
        name: String,
        /// Who has it.
        holder: Id,
    },
    /// A record that was to be new exists.
    #[error("{kind} {id} has its {part} record already")]
    Exists {
        /// Which noun.
        kind: Kind,
        /// Which part of its truth.
        part: Part,
        /// Which object.
        id: Id,
    },
    /// Somebody else wrote the record meanwhile.
    #[error("the {part} record of {kind} {id} was changed meanwhile (revision {}, expected {})", found.0, expected.0)]
    Conflict {
        /// Which noun.
        kind: Kind,
        /// Which part of its truth.
        part: Part,
        /// Which object.
        id: Id,
        /// The revision the caller knew.
        expected: Revision,
        /// The revision that is there.
        found: Revision,
    },
    /// A record to be changed or deleted is not there.
    #[error("{kind} {id} has no {part} record")]
    NotFound {
        /// Which noun.
        kind: Kind,
        /// Which part of its truth.
        part: Part,
        /// Which object.
        id: Id,
    },
    /// A record cannot be written as JSON.
    #[error("encode the {part} record of {kind} {id}")]
    Unencodable {
        /// Which noun.
        kind: Kind,
        /// Which part of its truth.
        part: Part,
        /// Which object.
        id: Id,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is no room for it; what is there can be read, and written again once there is.
    #[error("no space left on device: write to the store")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The backend cannot write: the disk is broken, or the store is closing.
    #[error("write to the store")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

//! What can go wrong with a request, without any transport's words.
//!
//! Each front end maps every kind, exhaustively, to its own envelope and status.

use model::instance::{Failure, FailureKind};

use crate::refusal::Refusal;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ActionError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// For the user: what failed, on what, and what to do.
    pub message: String,
    /// The rule that was broken, where clients know it by name.
    pub refusal: Option<Box<Refusal>>,
    /// For the log.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object does not exist, or not for this caller.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The object's state forbids it.
    Conflict,
    /// It is already so; nothing was done.
    NotModified,
    /// The request is wrong.
    Invalid,
    /// The program does not exist in the container.
    CommandNotFound,
    /// The program cannot be run.
    CommandNotExecutable,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not.
    Forbidden,
    /// The project's quota is used up.
    QuotaExceeded,
    /// No node has room.
    NoCapacity,
    /// A part of the system does not answer.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// Something that must not happen.
    Internal,
}

impl ActionError {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            refusal: None,
            cause: None,
        }
    }

    /// With what led to it, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// A request that is wrong, and what is wrong with it.
pub(crate) fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}

impl From<Failure> for ActionError {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::CommandNotFound => ErrorKind::CommandNotFound,
            FailureKind::CommandNotExecutable => ErrorKind::CommandNotExecutable,
            FailureKind::Invalid => ErrorKind::Invalid,
            FailureKind::Conflict => ErrorKind::Conflict,
            FailureKind::NotFound => ErrorKind::NotFound,
            FailureKind::NoCapacity => ErrorKind::NoCapacity,
            FailureKind::Internal => ErrorKind::Internal,
        };
        Self::new(kind, failure.message)
    }
}

impl From<store::CommitError> for ActionError {
    fn from(error: store::CommitError) -> Self {
        let (kind, message) = match &error {
            store::CommitError::NameTaken { kind, name, .. } => (
                ErrorKind::AlreadyExists,
                format!("{kind} with name {name} already exists"),
            ),
            store::CommitError::Exists { kind, id, .. } => (
                ErrorKind::AlreadyExists,
                format!("{kind} {id} already exists"),
            ),
            store::CommitError::Conflict { kind, id, .. } => (
                ErrorKind::Conflict,
                format!("{kind} {id} was changed meanwhile; try again"),
            ),
            store::CommitError::NotFound { kind, id, .. } => {
                (ErrorKind::NotFound, format!("no such {kind}: {id}"))
            }
            store::CommitError::Full(_) => (
                ErrorKind::Internal,
                "no space left on device: the change could not be written".to_owned(),
            ),
            store::CommitError::Unencodable { .. } | store::CommitError::Backend(_) => (
                ErrorKind::Internal,
                "the change could not be written; see the daemon's log".to_owned(),
            ),
        };
        Self::new(kind, message).caused_by(error)
    }
}

/// The message of an error and of all that led to it: the user has no log to look into.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

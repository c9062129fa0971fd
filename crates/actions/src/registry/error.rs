//! What can go wrong in the registry, without HTTP's words: the conditions that its clients know by a
//! code of their own (OCI Distribution Specification v1.1, "Error Codes").

use std::sync::Arc;

use model::digest::{ContentDigest, DigestError};

use crate::error::with_causes;
use crate::{ActionError, ErrorKind};

/// Why a request to the registry was not carried out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and name the fields")]
pub enum RegistryError {
    #[error("{name:?} is no name of a repository: {reason}")]
    NameInvalid { name: String, reason: &'static str },
    #[error("there is no repository {0}")]
    NameUnknown(String),
    #[error(
        "{0:?} is no tag: use up to 128 letters, digits, `_`, `.` and `-`, not beginning with the last two"
    )]
    TagInvalid(String),
    #[error(transparent)]
    DigestInvalid(#[from] DigestError),
    #[error("the content has digest {found}, not {expected}")]
    DigestMismatch {
        expected: ContentDigest,
        found: ContentDigest,
    },
    #[error("blob {0} is not in the repository")]
    BlobUnknown(ContentDigest),
    #[error("blob {blob} is needed by manifest {manifest}; delete that first")]
    BlobNeeded {
        blob: ContentDigest,
        manifest: ContentDigest,
    },
    #[error("there is no such upload: it was finished, cancelled, or left alone for too long")]
    UploadUnknown,
    #[error(
        "the upload has {has_bytes} bytes; the next piece must begin there, not at {begins_at}"
    )]
    UploadOutOfOrder { has_bytes: u64, begins_at: u64 },
    #[error("{said} bytes were said and {came} came")]
    SizeMismatch { said: u64, came: u64 },
    #[error("the data broke off; ask how much has come, and send the rest")]
    BrokeOff,
    #[error("manifest {0} is not in the repository")]
    ManifestUnknown(String),
    #[error("the manifest is not valid: {0}")]
    ManifestInvalid(String),
    #[error("the manifest has more than {most_bytes} bytes")]
    ManifestTooLarge { most_bytes: usize },
    #[error("the manifest names what is not in the repository: {}", in_words(.0))]
    ManifestIncomplete(Vec<ContentDigest>),
    #[error("who you are must be shown for this")]
    Unauthenticated,
    #[error("the token is not valid, or not any more")]
    TokenInvalid,
    #[error("the token is not for this")]
    ScopeInsufficient,
    #[error("you may not do this to {0}")]
    Denied(String),
    #[error("project {0} has too many unfinished uploads; finish or cancel some")]
    TooManyUploads(String),
    #[error("{repository} is a copy of {registry}'s; push there")]
    IsCopy {
        repository: String,
        registry: String,
    },
    #[error("{registry}, of which this is a copy, does not give it")]
    Upstream {
        registry: String,
        source: Arc<::image::registry::RegistryError>,
    },
    #[error("there is no room left: the disk is full")]
    DiskFull,
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl RegistryError {
    /// Somebody else changed the same: it is worth trying again.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Action(error) if matches!(
            error.kind,
            ErrorKind::Conflict | ErrorKind::AlreadyExists | ErrorKind::NotFound
        ))
    }
}

impl From<::image::ContentError> for RegistryError {
    fn from(error: ::image::ContentError) -> Self {
        if error.is_full_disk() {
            return Self::DiskFull;
        }
        let message = with_causes(&error);
        Self::Action(ActionError::new(ErrorKind::Internal, message).caused_by(error))
    }
}

impl From<::image::ShelveError> for RegistryError {
    fn from(error: ::image::ShelveError) -> Self {
        match error {
            ::image::ShelveError::Digest { expected, found } => {
                Self::DigestMismatch { expected, found }
            }
            ::image::ShelveError::Content(error) => error.into(),
        }
    }
}

fn in_words(digests: &[ContentDigest]) -> String {
    let words: Vec<&str> = digests.iter().map(ContentDigest::as_str).collect();
    words.join(", ")
}

//! Giving images names.

use jiff::Timestamp;

use super::{ContentError, LookupError, Store};
use crate::reference::{Reference, ReferenceError};

/// Why an image was not tagged.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// No such image.
    #[error(transparent)]
    Source(#[from] LookupError),
    /// The new name is not one.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The index cannot be written.
    #[error(transparent)]
    Write(#[from] ContentError),
}

/// Why an image cannot have a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It follows no grammar.
    #[error("{0}")]
    Reference(ReferenceError),
    /// A digest is nothing to choose.
    #[error("refusing to create a tag with a digest reference")]
    Digest,
    /// It would be read as a digest.
    #[error("refusing to create an ambiguous tag using digest algorithm as name")]
    Ambiguous,
}

/// Reads a name that an image may be given.
pub(crate) fn parse_target(text: &str) -> Result<Reference, TargetError> {
    let target = Reference::parse(text).map_err(TargetError::Reference)?;
    if target.digest().is_some() {
        return Err(TargetError::Digest);
    }
    if target.familiar_name() == "sha256" {
        return Err(TargetError::Ambiguous);
    }
    Ok(target.or_latest())
}

impl Store {
    /// Gives the image `source` the further name `target`, taking it from who had it. Waits for the disk.
    ///
    /// # Errors
    /// When there is no such image, or the name is not one.
    pub fn tag(&self, source: &str, target: &str) -> Result<(), TagError> {
        let target = parse_target(target)?;
        self.change(|state| {
            let (id, _) = state.find(source)?;
            state.tag(&target, id, Timestamp::now());
            Ok(())
        })
    }
}

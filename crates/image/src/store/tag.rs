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

    /// Gives the image with exactly this id a name, and lists it by it. Waits for the disk.
    ///
    /// # Errors
    /// As [`Store::tag`].
    pub fn list_as(&self, id: &str, name: &str) -> Result<(), TagError> {
        let name = parse_target(name)?;
        self.change(|state| {
            let id = state.digest_of(id)?;
            if let Some(record) = state.index.images.get_mut(&id) {
                record.removed = false;
            }
            state.tag(&name, id, Timestamp::now());
            Ok(())
        })
    }

    /// Takes a name from the image with exactly this id, where it has it; the last one takes it off
    /// the list. Waits for the disk.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn unlist(&self, id: &str, name: &str) -> Result<(), ContentError> {
        let Ok(name) = parse_target(name) else {
            return Ok(());
        };
        self.change(|state| {
            let Ok(id) = state.digest_of(id) else {
                return Ok(());
            };
            let name = name.to_string();
            if state.index.tags.get(&name) == Some(&id) {
                state.index.tags.remove(&name);
            }
            if state.names(&id).is_empty()
                && let Some(record) = state.index.images.get_mut(&id)
            {
                record.removed = true;
            }
            Ok(())
        })
    }
}

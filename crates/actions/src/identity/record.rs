//! What the modules of identity do to records alike: find one, or say that it is missing; change one.

use std::sync::Arc;

use model::{Id, Meta};
use store::Versioned;
use store::record::Record;

pub(super) use crate::error::invalid;
use crate::{ActionError, Cloud, ErrorKind};

/// A record with metadata, and what messages call it.
pub(super) trait Noun: Record {
    /// The word for it: `user`.
    const NOUN: &'static str;

    /// Its metadata.
    fn meta_mut(&mut self) -> &mut Meta;
}

macro_rules! nouns {
    ($($type:ty: $noun:literal),* $(,)?) => {$(
        impl Noun for $type {
            const NOUN: &'static str = $noun;

            fn meta_mut(&mut self) -> &mut Meta {
                &mut self.meta
            }
        }
    )*};
}

nouns! {
    model::application_credential::AccessRule: "access rule",
    model::application_credential::ApplicationCredential: "application credential",
    model::credential::Credential: "credential",
    model::endpoint::Endpoint: "endpoint",
    model::group::Group: "group",
    model::limit::Limit: "limit",
    model::limit::RegisteredLimit: "registered limit",
    model::project::Project: "project",
    model::region::Region: "region",
    model::role::Role: "role",
    model::service::Service: "service",
    model::trust::Trust: "trust",
    model::user::User: "user",
}

/// The error for what is not there.
pub(super) fn missing<R: Noun>(id: Id) -> ActionError {
    not_found(R::NOUN, &id.simple())
}

/// The error for what is not there, by the word for it.
pub(super) fn not_found(noun: &str, id: &str) -> ActionError {
    ActionError::new(ErrorKind::NotFound, format!("Could not find {noun}: {id}."))
}

impl Cloud {
    /// One record, or the error for what is not there.
    pub(super) fn find<R: Noun>(&self, id: Id) -> Result<Versioned<R>, ActionError> {
        self.store.get::<R>(id).ok_or_else(|| missing::<R>(id))
    }

    /// Every record of a type that fits.
    pub(super) fn all<R: Record>(&self, fits: impl Fn(&R) -> bool) -> Vec<Arc<R>> {
        self.store
            .list::<R>()
            .into_iter()
            .map(|(_, found)| found.value)
            .filter(|record| fits(record))
            .collect()
    }

    /// Writes a new record.
    pub(super) async fn make<R: Noun>(&self, mut record: R) -> Result<Arc<R>, ActionError> {
        let id = record.meta_mut().id;
        let mut transaction = self.store.transaction();
        transaction.insert(id, record.clone());
        self.commit_durably(transaction)
            .await
            .map_err(|error| in_words::<R>(error, &mut record))?;
        Ok(Arc::new(record))
    }

    /// Changes one record; `change` is called again where somebody else changed it meanwhile.
    pub(super) async fn change<R: Noun>(
        &self,
        id: Id,
        change: impl Fn(&mut R) -> Result<(), ActionError>,
    ) -> Result<Arc<R>, ActionError> {
        loop {
            let found = self.find::<R>(id)?;
            let mut record = R::clone(&found.value);
            change(&mut record)?;
            record.meta_mut().generation += 1;
            let mut transaction = self.store.transaction();
            transaction.update(id, found.revision, record.clone());
            match self.commit_durably(transaction).await {
                Ok(()) => return Ok(Arc::new(record)),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(in_words::<R>(error, &mut record)),
            }
        }
    }

    /// Deletes one record that nothing depends on.
    pub(super) async fn unmake<R: Noun>(&self, id: Id) -> Result<(), ActionError> {
        let mut transaction = self.store.transaction();
        transaction.delete::<R>(id, None);
        self.commit_durably(transaction).await
    }
}

/// A name that is taken is told in the words that clients know.
fn in_words<R: Noun>(error: ActionError, record: &mut R) -> ActionError {
    if error.kind != ErrorKind::AlreadyExists {
        return error;
    }
    let name = record.meta_mut().name.clone();
    let noun = R::NOUN;
    ActionError::new(
        ErrorKind::AlreadyExists,
        format!(
            "Conflict occurred attempting to store {noun} - Duplicate entry found with name {name}."
        ),
    )
    .caused_by(error)
}

/// The error for what cannot be done, whoever asks.
pub(super) fn refused(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Forbidden, message)
}

/// Refuses to change or delete what was made immutable.
pub(super) fn check_mutable(
    noun: &str,
    id: Id,
    is_now: Option<bool>,
    becomes: Option<Option<bool>>,
) -> Result<(), ActionError> {
    if is_now == Some(true) && becomes.is_none_or(|becomes| becomes == Some(true)) {
        return Err(refused(format!(
            "Cannot update or delete resource {noun} {}: it is immutable.",
            id.simple()
        )));
    }
    Ok(())
}

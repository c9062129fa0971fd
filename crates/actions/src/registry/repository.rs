//! Repositories: made by the first push, public where somebody said so, and written into one change at
//! a time.

use model::Meta;
use model::repository::Repository;
use store::{CommitError, Transaction};

use super::visitor::Place;
use super::{RegistryError, RepositoryName, Right, Visitor};
use crate::{Cloud, durable};

/// How often a change is tried that others come before; each time somebody gets through.
const MOST_TRIES: usize = 200;

/// Whether everybody may pull from a repository.
///
/// # Errors
/// [`RegistryError::NameUnknown`], and for who may not pull.
pub fn is_public(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
) -> Result<bool, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Pull)?;
    match &place.source {
        Some(source) => Ok(source.upstream.is_public),
        None => Ok(place.repository()?.value.public),
    }
}

/// Lets everybody pull from a repository, or its project only. One that is not there is made.
///
/// # Errors
/// For who may not.
pub async fn publicize(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    public: bool,
) -> Result<(), RegistryError> {
    let place = visitor.enter(cloud, name, Right::Publicize)?;
    write_into(cloud, &place, |_, repository| {
        repository.public = public;
        Ok(())
    })
    .await
}

/// Writes into a repository, which is made where there is none. `write` is called again where somebody
/// else has changed the repository meanwhile, so what it reads is still so when it is written.
pub(super) async fn write_into<T>(
    cloud: &Cloud,
    place: &Place,
    write: impl Fn(&mut Transaction, &mut Repository) -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    let mut tries = 0;
    loop {
        let now = cloud.now();
        let found = cloud
            .store
            .by_name::<Repository>(place.project, &place.name.path);
        let mut repository = found.as_ref().map_or_else(
            || Repository {
                meta: Meta::new(place.name.path.clone(), place.project, now),
                public: false,
            },
            |found| Repository::clone(&found.value),
        );
        repository.meta.updated_at = Some(now);
        let mut transaction = cloud.store.transaction();
        let answer = write(&mut transaction, &mut repository)?;
        let id = repository.meta.id;
        match found {
            Some(found) => {
                repository.meta.generation += 1;
                transaction.update(id, found.revision, repository)
            }
            None => transaction.insert(id, repository),
        };
        tries += 1;
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(answer);
            }
            Err(CommitError::Full(_)) => return Err(RegistryError::DiskFull),
            Err(error) => {
                let error = RegistryError::from(crate::ActionError::from(error));
                if !error.is_conflict() || tries == MOST_TRIES {
                    return Err(error);
                }
            }
        }
    }
}

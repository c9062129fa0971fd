//! The catalogue: which repositories there are for whoever asks, all of them or by a part of their name.

use model::repository::Repository;

use super::tag::Names;
use super::{RegistryError, RepositoryName, Visitor, upstream};
use crate::Cloud;

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Everybody may pull from it.
    pub public: bool,
}

/// The names of the repositories that a visitor may pull from, after `last`, at most `most`.
///
/// # Errors
/// [`RegistryError::Unauthenticated`] for nobody.
pub fn list(
    cloud: &Cloud,
    visitor: &Visitor,
    last: Option<&str>,
    most: Option<usize>,
) -> Result<Names, RegistryError> {
    if visitor.is_nobody() {
        return Err(RegistryError::Unauthenticated);
    }
    if !visitor.is_for_catalogue() {
        return Err(RegistryError::ScopeInsufficient);
    }
    let names = visible(cloud, visitor).into_iter().map(|found| found.name);
    Ok(Names::after(names, last, most))
}

/// The repositories that a visitor may pull from and whose name has `text` in it.
#[must_use]
pub fn search(cloud: &Cloud, visitor: &Visitor, text: &str) -> Vec<Found> {
    let mut found = visible(cloud, visitor);
    found.retain(|repository| repository.name.contains(text));
    found
}

/// Sorted by name.
fn visible(cloud: &Cloud, visitor: &Visitor) -> Vec<Found> {
    let all = cloud.store.list::<Repository>().into_iter();
    let mut found: Vec<Found> = all
        .map(|(_, found)| found.value)
        .filter(|repository| visitor.pulls(cloud, repository))
        .map(|repository| Found {
            name: RepositoryName::of(cloud, repository.meta.project, &repository.meta.name)
                .to_string(),
            public: upstream::is_public(
                cloud,
                repository.meta.project,
                &repository.meta.name,
                Some(&repository),
            ),
        })
        .collect();
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    found
}

//! Referrers: the manifests of a repository that say something about another one, which need not be
//! there itself.

use std::sync::Arc;

use model::digest::ContentDigest;
use model::repository::RepositoryManifest;

use super::{RegistryError, RepositoryName, Right, Visitor};
use crate::Cloud;

/// The manifests whose subject is `digest`, by digest; none in a repository that is not there.
///
/// # Errors
/// For who may not pull.
pub fn list(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
    artifact_type: Option<&str>,
) -> Result<Vec<Arc<RepositoryManifest>>, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Pull)?;
    let Ok(repository) = place.repository() else {
        return Ok(Vec::new());
    };
    let manifests = cloud
        .store
        .named::<RepositoryManifest>(repository.value.as_owner());
    Ok(manifests
        .into_iter()
        .map(|found| found.value)
        .filter(|manifest| manifest.subject.as_ref() == Some(digest))
        .filter(|manifest| {
            artifact_type.is_none_or(|wanted| manifest.artifact_type.as_deref() == Some(wanted))
        })
        .collect())
}

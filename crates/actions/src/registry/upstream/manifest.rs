//! Manifests and tags of an upstream: a tag is held against the upstream's before it is believed, a
//! manifest comes once. What is here is served when the upstream cannot be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::image::registry::Relayed;
use model::ProjectId;
use model::digest::{Algorithm, ContentDigest};
use model::repository::{RepositoryManifest, RepositoryTag};

use super::{Source, UpstreamError};
use crate::Cloud;
use crate::registry::RegistryError;
use crate::registry::manifest::{Reference, keep, name_kept};
use crate::registry::repository::write_into;
use crate::registry::visitor::Place;

/// How long a tag is served as it is after its upstream could not be asked.
const RESTS_FOR: Duration = Duration::from_secs(30);
/// Checks that are remembered.
const MOST_CHECKS: usize = 10_000;

/// When what was last asked for upstream, by project, path and reference. Whoever asks has the lock, so
/// that many who want the same at once ask once.
#[derive(Default)]
pub(super) struct Checks(Mutex<HashMap<(ProjectId, String, String), Arc<Check>>>);

type Check = tokio::sync::Mutex<Option<Checked>>;

struct Checked {
    /// Until when it need not be asked for again.
    until: Instant,
    /// What the upstream said to those who wait.
    failure: Option<(String, Arc<UpstreamError>)>,
}

impl Checks {
    fn of(&self, place: &Place, reference: &Reference) -> Arc<Check> {
        let what = match reference {
            Reference::Tag(tag) => tag.clone(),
            Reference::Digest(digest) => digest.to_string(),
        };
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.len() >= MOST_CHECKS {
            checks.retain(|_, check| Arc::strong_count(check) > 1);
        }
        let key = (place.project, place.name.path.clone(), what);
        Arc::clone(checks.entry(key).or_default())
    }
}

/// Makes a manifest of a repository be here and a tag mean what it means upstream, as far as the
/// upstream can be asked.
///
/// # Errors
/// [`RegistryError::ManifestUnknown`] where the upstream has no such thing, and
/// [`RegistryError::Upstream`] where it does not say and nothing is here.
pub(in crate::registry) async fn refresh(
    cloud: &Cloud,
    place: &Place,
    source: &Source,
    reference: &Reference,
) -> Result<(), RegistryError> {
    if let Reference::Digest(digest) = reference
        && is_kept(cloud, place, digest)
    {
        return Ok(());
    }
    let asked_at = Instant::now();
    let check = cloud.registry.upstreams.checks.of(place, reference);
    let mut last = check.lock().await;
    if let Some(checked) = last.as_ref().filter(|checked| checked.until >= asked_at) {
        return match &checked.failure {
            None => Ok(()),
            Some((registry, source)) => Err(RegistryError::Upstream {
                registry: registry.clone(),
                source: Arc::clone(source),
            }),
        };
    }
    let outcome = update(cloud, place, source, reference).await;
    let now = Instant::now();
    let (checked, outcome) = match outcome {
        Ok(()) => (Some((now + source.upstream.fresh_for, None)), Ok(())),
        Err(RegistryError::ManifestUnknown(name)) => {
            if let Reference::Tag(tag) = reference {
                forget(cloud, place, tag).await?;
            }
            let unknown = Err(RegistryError::ManifestUnknown(name));
            (Some((now, None)), unknown)
        }
        Err(error) if has_tag(cloud, place, reference) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                repository = %place.name,
                "an upstream cannot be asked: what is here is served"
            );
            (Some((now + RESTS_FOR, None)), Ok(()))
        }
        Err(RegistryError::Upstream { registry, source }) => {
            let failure = Some((registry.clone(), Arc::clone(&source)));
            let failed = Err(RegistryError::Upstream { registry, source });
            (Some((now, failure)), failed)
        }
        Err(error) => (None, Err(error)),
    };
    *last = checked.map(|(until, failure)| Checked { until, failure });
    outcome
}

/// Asks the upstream, and keeps what is new.
async fn update(
    cloud: &Cloud,
    place: &Place,
    source: &Source,
    reference: &Reference,
) -> Result<(), RegistryError> {
    let shown = match reference {
        Reference::Tag(tag) => tag.as_str(),
        Reference::Digest(digest) => digest.as_str(),
    };
    let unknown = || RegistryError::ManifestUnknown(shown.to_owned());
    let failed = |error| source.failed(error, unknown);
    let remote = source.talk(cloud).await.map_err(failed)?;
    let (digest, tag) = match reference {
        Reference::Digest(digest) => (Some(digest.clone()), None),
        Reference::Tag(tag) => {
            let told = remote.tag_digest(tag).await.map_err(failed)?;
            if let Some(digest) = &told
                && is_kept(cloud, place, digest)
            {
                return name_kept(cloud, place, tag, digest).await;
            }
            (told, Some(tag.clone()))
        }
    };
    let wanted = digest.as_ref().map_or(shown, ContentDigest::as_str);
    let Relayed {
        media_type,
        content,
    } = remote.relay_manifest(wanted).await.map_err(failed)?;
    let algorithm = digest
        .as_ref()
        .map_or(Algorithm::Sha256, ContentDigest::algorithm);
    let found = ::image::digest_of(&content, algorithm);
    if let Some(expected) = digest.filter(|expected| *expected != found) {
        return Err(RegistryError::DigestMismatch { expected, found });
    }
    keep(cloud, place, &media_type, content, algorithm, tag).await
}

fn is_kept(cloud: &Cloud, place: &Place, digest: &ContentDigest) -> bool {
    place.current(cloud).is_some_and(|owner| {
        cloud
            .store
            .by_name::<RepositoryManifest>(owner, digest.as_str())
            .is_some()
    })
}

fn has_tag(cloud: &Cloud, place: &Place, reference: &Reference) -> bool {
    let Reference::Tag(tag) = reference else {
        return false;
    };
    let found = place
        .current(cloud)
        .and_then(|owner| cloud.store.by_name::<RepositoryTag>(owner, tag));
    found.is_some_and(|found| is_kept(cloud, place, &found.value.manifest))
}

/// Drops a tag that the upstream does not have any more. What it named goes when it is not used.
async fn forget(cloud: &Cloud, place: &Place, tag: &str) -> Result<(), RegistryError> {
    let has_it = |owner| cloud.store.by_name::<RepositoryTag>(owner, tag).is_some();
    if !place.current(cloud).is_some_and(has_it) {
        return Ok(());
    }
    write_into(cloud, place, |transaction, repository| {
        if let Some(found) = cloud
            .store
            .by_name::<RepositoryTag>(repository.as_owner(), tag)
        {
            transaction.delete::<RepositoryTag>(found.value.meta.id, Some(found.revision));
        }
        Ok(())
    })
    .await
}

/// The upstream's tags; where it cannot be asked, those that are here.
///
/// # Errors
/// [`RegistryError::NameUnknown`], [`RegistryError::Upstream`].
pub(in crate::registry) async fn tags(
    cloud: &Cloud,
    place: &Place,
    source: &Source,
) -> Result<Option<Vec<String>>, RegistryError> {
    let unknown = || RegistryError::NameUnknown(place.name.to_string());
    let listed = async {
        let remote = source.talk(cloud).await?;
        remote.tags().await
    };
    match listed.await {
        Ok(mut tags) => {
            tags.sort_unstable();
            tags.dedup();
            Ok(Some(tags))
        }
        Err(error) if error.is_not_found() || place.repository().is_err() => {
            Err(source.failed(error, unknown))
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                repository = %place.name,
                "an upstream does not list its tags: those that are here are listed"
            );
            Ok(None)
        }
    }
}

//! Freeing what nobody needs, while the registry serves.
//!
//! Records go first: blobs that no manifest of their repository needs, manifests without a tag where
//! the operator wants that, and repositories that have nothing, each after it was left alone for its
//! time of grace; a repository that is being pushed to is left as it is. Then uploads that nobody adds to,
//! and the bytes that no record names. A change to a repository that comes in between wins: the
//! collector requires the repository as it has read it, and a push what it needs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::digest::ContentDigest;
use model::project::Project;
use model::repository::{Repository, RepositoryBlob, RepositoryManifest, RepositoryTag};
use model::{Id, Kind};
use store::{CommitError, Versioned};

use super::upload::{self, on_thread};
use super::upstream::{Source, limit};
use super::{Registry, RegistryError};
use crate::{ActionError, Cloud};

impl Registry {
    /// Notes that something is asked for: its grace begins again.
    pub(super) fn ask_for(&self, record: Id) {
        self.asked
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(record);
    }

    /// What was asked for since this was last called.
    fn take_asked(&self) -> HashSet<Id> {
        let mut asked = self
            .asked
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *asked)
    }
}

/// Since when records have been seen to be of no use.
type Unneeded = HashMap<Id, Timestamp>;

/// What a look at everything depends on.
const KINDS: [Kind; 5] = [
    Kind::Project,
    Kind::Repository,
    Kind::RepositoryBlob,
    Kind::RepositoryManifest,
    Kind::RepositoryTag,
];

/// Collects again and again, for as long as the process lives.
pub async fn run(cloud: Cloud) {
    let every = Duration::from_secs(cloud.registry.settings.collect_every_seconds.max(1));
    let mut unneeded = Unneeded::new();
    // The newest change that everything was looked at after.
    let mut seen = None;
    loop {
        let asked = cloud.registry.take_asked();
        if let Err(error) = limit::enforce(&cloud, &asked).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is kept of upstreams was not looked at, to be tried again"
            );
        }
        let newest = cloud.store.touched(&KINDS);
        if seen != Some(newest) || !unneeded.is_empty() {
            match once(&cloud, &mut unneeded, &asked).await {
                Ok(is_all) => seen = is_all.then_some(newest),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the registry was not collected, to be tried again"
                ),
            }
        }
        cloud.registry.uploads.drop_idle(upload::idle_since(&cloud));
        tokio::time::sleep(every).await;
    }
}

/// Looks at everything once; answers whether nothing was left out because it was being changed.
async fn once(
    cloud: &Cloud,
    unneeded: &mut Unneeded,
    asked: &HashSet<Id>,
) -> Result<bool, RegistryError> {
    let mut still = Unneeded::new();
    let mut is_all = true;
    for (_, repository) in cloud.store.list::<Repository>() {
        let mut pass = Pass {
            cloud,
            now: cloud.now(),
            known: unneeded,
            asked,
            still: &mut still,
        };
        is_all &= pass.repository(&repository).await?;
    }
    *unneeded = still;
    let (images, store) = (cloud.images.clone(), cloud.store.clone());
    let freed = on_thread(move || images.sweep_shelf(|| needed(&store))).await?;
    if freed > 0 {
        tracing::debug!(freed, "registry: freed what no repository has");
    }
    Ok(is_all)
}

/// The digests that records name.
fn needed(store: &store::Store) -> HashSet<ContentDigest> {
    let blobs = store.list::<RepositoryBlob>();
    let manifests = store.list::<RepositoryManifest>();
    blobs
        .iter()
        .filter_map(|(_, blob)| blob.value.meta.name.parse().ok())
        .chain(
            manifests
                .iter()
                .map(|(_, manifest)| manifest.value.digest.clone()),
        )
        .collect()
}

/// One look at all repositories.
struct Pass<'a> {
    cloud: &'a Cloud,
    now: Timestamp,
    known: &'a Unneeded,
    asked: &'a HashSet<Id>,
    still: &'a mut Unneeded,
}

impl Pass<'_> {
    /// Looks at a repository; `false` where somebody changes it meanwhile.
    async fn repository(&mut self, found: &Versioned<Repository>) -> Result<bool, RegistryError> {
        let repository = &found.value;
        let owner = repository.as_owner();
        let store = &self.cloud.store;
        let (project, path) = (repository.meta.project, &repository.meta.name);
        if self.cloud.registry.uploads.has_any(project, path) {
            return Ok(false);
        }
        let tags = store.named::<RepositoryTag>(owner);
        let manifests = store.named::<RepositoryManifest>(owner);
        let blobs = store.named::<RepositoryBlob>(owner);
        let mut transaction = store.transaction();
        let is_orphan = store.get::<Project>(project.0).is_none();
        let settings = &self.cloud.registry.settings;
        // What comes again when it is asked for need not wait.
        let is_copy = Source::of(self.cloud, project, path).is_some();
        let grace_seconds = if is_copy { 0 } else { settings.grace_seconds };
        let mut left = manifests.len() + blobs.len() + tags.len();
        let mut gone_blobs = 0;
        for blob in self.unneeded_blobs(&manifests, blobs) {
            if is_orphan || self.is_due(blob.value.meta.id, grace_seconds) {
                transaction.delete::<RepositoryBlob>(blob.value.meta.id, Some(blob.revision));
                gone_blobs += 1;
            }
        }
        left -= gone_blobs;
        let untagged = match settings.untagged_seconds {
            _ if is_orphan => manifests.iter().collect(),
            // Those of a copy go when they are not used.
            Some(_) if !is_copy => untagged(&manifests, &tags),
            Some(_) | None => Vec::new(),
        };
        for manifest in untagged {
            let grace = settings.untagged_seconds.unwrap_or_default();
            let id = manifest.value.meta.id;
            if is_orphan || self.is_due(id, grace) {
                transaction.delete::<RepositoryManifest>(id, Some(manifest.revision));
                left -= 1;
            }
        }
        if is_orphan {
            for tag in &tags {
                transaction.delete::<RepositoryTag>(tag.value.meta.id, Some(tag.revision));
            }
            left -= tags.len();
        }
        let id = repository.meta.id;
        // What somebody has made public stays so, though nothing is in it.
        let is_empty = left == 0 && (is_orphan || !repository.public);
        if is_empty && (is_orphan || self.is_due(id, grace_seconds)) {
            transaction.delete::<Repository>(id, Some(found.revision));
        } else {
            transaction.require::<Repository>(id, found.revision);
        }
        match self.cloud.store.commit(transaction).await {
            Ok(_) => Ok(true),
            // Somebody pushes: the next pass looks again.
            Err(
                CommitError::Conflict { .. }
                | CommitError::NotFound { .. }
                | CommitError::Exists { .. }
                | CommitError::NameTaken { .. },
            ) => Ok(false),
            Err(CommitError::Full(_)) => Err(RegistryError::DiskFull),
            Err(error) => Err(ActionError::from(error).into()),
        }
    }

    /// Blobs that no manifest needs. Those of a manifest that has just gone keep their grace.
    fn unneeded_blobs(
        &self,
        manifests: &[Versioned<RepositoryManifest>],
        mut blobs: Vec<Versioned<RepositoryBlob>>,
    ) -> Vec<Versioned<RepositoryBlob>> {
        let needed: HashSet<&str> = manifests
            .iter()
            .flat_map(|manifest| &manifest.value.needs)
            .map(ContentDigest::as_str)
            .collect();
        blobs.retain(|blob| !needed.contains(blob.value.meta.name.as_str()));
        blobs
    }

    /// Whether a record that is of no use has been so for its grace; notes since when.
    fn is_due(&mut self, record: Id, grace_seconds: i64) -> bool {
        let since = match self.known.get(&record) {
            Some(since) if !self.asked.contains(&record) => *since,
            Some(_) | None => self.now,
        };
        self.still.insert(record, since);
        self.now.duration_since(since) >= SignedDuration::from_secs(grace_seconds)
    }
}

/// Manifests that have no tag, that no index needs, and that say nothing about one that is there.
fn untagged<'a>(
    manifests: &'a [Versioned<RepositoryManifest>],
    tags: &[Versioned<RepositoryTag>],
) -> Vec<&'a Versioned<RepositoryManifest>> {
    let by_digest: HashMap<&ContentDigest, &RepositoryManifest> = manifests
        .iter()
        .map(|found| (&found.value.digest, &*found.value))
        .collect();
    let mut kept: HashSet<&ContentDigest> = HashSet::new();
    let mut next: Vec<&ContentDigest> = tags.iter().map(|tag| &tag.value.manifest).collect();
    loop {
        while let Some(digest) = next.pop() {
            if let Some(manifest) = by_digest.get(digest)
                && kept.insert(digest)
            {
                next.extend(&manifest.needs);
            }
        }
        // What is said about a kept one is kept, with what that needs.
        let about = |found: &&'a Versioned<RepositoryManifest>| {
            let manifest = &found.value;
            !kept.contains(&manifest.digest)
                && manifest
                    .subject
                    .as_ref()
                    .is_some_and(|subject| kept.contains(subject))
        };
        next.extend(
            manifests
                .iter()
                .filter(about)
                .map(|found| &found.value.digest),
        );
        if next.is_empty() {
            break;
        }
    }
    manifests
        .iter()
        .filter(|found| !kept.contains(&found.value.digest))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::digest::Algorithm;
    use model::{Meta, ProjectId};
    use store::Revision;

    use super::*;

    fn digest(byte: u8) -> ContentDigest {
        ContentDigest::new(Algorithm::Sha256, &[byte; 32])
    }

    fn versioned<R>(value: R) -> Versioned<R> {
        Versioned {
            revision: Revision(1),
            value: Arc::new(value),
        }
    }

    fn manifest(own: u8, needs: &[u8], subject: Option<u8>) -> Versioned<RepositoryManifest> {
        let meta = Meta::new("m", ProjectId::ADMIN, Timestamp::UNIX_EPOCH);
        versioned(RepositoryManifest {
            meta,
            digest: digest(own),
            media_type: String::new(),
            size_bytes: 1,
            artifact_type: None,
            subject: subject.map(digest),
            annotations: std::collections::BTreeMap::new(),
            needs: needs.iter().copied().map(digest).collect(),
        })
    }

    #[test]
    fn what_a_tag_reaches_is_kept_and_what_is_said_about_it() {
        // 1 is an index of 2; 3 is about 2, 4 about 3; 5 is about what is not there; 6 is alone.
        let manifests = [
            manifest(1, &[2], None),
            manifest(2, &[], None),
            manifest(3, &[], Some(2)),
            manifest(4, &[], Some(3)),
            manifest(5, &[], Some(9)),
            manifest(6, &[], None),
        ];
        let tag = versioned(RepositoryTag {
            meta: Meta::new("latest", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            manifest: digest(1),
        });
        let gone: Vec<ContentDigest> = untagged(&manifests, &[tag])
            .into_iter()
            .map(|found| found.value.digest.clone())
            .collect();
        assert_eq!(gone, [digest(5), digest(6)]);
        assert_eq!(untagged(&manifests, &[]).len(), manifests.len());
    }
}

//! What is kept of an upstream: what was used last, as much as there is room for.
//!
//! What goes are manifests, with the tags that name them; blobs that no manifest needs go with the next
//! look of [`crate::registry::collect`], which calls this. Content is freed only where no other
//! repository and no image of the engine has it.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use model::Id;
use model::digest::ContentDigest;
use model::repository::{Repository, RepositoryBlob, RepositoryManifest, RepositoryTag};
use store::{CommitError, Versioned};

use super::{Source, Upstream};
use crate::registry::RegistryError;
use crate::{ActionError, Cloud};

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of manifests and of the blobs that they need; `None` is no limit.
    pub most_bytes: Option<u64>,
    /// How long a manifest may go unused, in seconds; `None` is for ever.
    pub unused_seconds: Option<i64>,
}

/// A manifest, as far as it matters here.
#[derive(Clone, Debug)]
struct Kept {
    id: Id,
    size_bytes: u64,
    needs: Vec<ContentDigest>,
    used_at: Timestamp,
}

/// Frees what the limits of upstreams leave no room for. `asked` are the records that were asked for
/// since the last time.
pub(in crate::registry) async fn enforce(
    cloud: &Cloud,
    asked: &HashSet<Id>,
) -> Result<(), RegistryError> {
    for upstream in &cloud.registry.settings.upstreams {
        let shelves: Vec<Shelf> = cloud
            .store
            .list::<Repository>()
            .into_iter()
            .map(|(_, found)| found)
            .filter(|found| is_of(cloud, upstream, &found.value))
            .map(|found| Shelf::read(cloud, found))
            .collect();
        let now = cloud.now();
        let kept: Vec<Kept> = shelves
            .iter()
            .flat_map(|shelf| &shelf.manifests)
            .map(|found| Kept {
                id: found.value.meta.id,
                size_bytes: found.value.size_bytes,
                needs: found.value.needs.clone(),
                used_at: used_at(&found.value, asked, now),
            })
            .collect();
        let blobs: HashMap<ContentDigest, u64> = shelves
            .iter()
            .flat_map(|shelf| &shelf.blobs)
            .filter_map(|(name, bytes)| Some((name.parse().ok()?, *bytes)))
            .collect();
        let gone = excess(kept, &blobs, upstream.limits, now);
        for shelf in shelves {
            shelf.clear(cloud, &gone, asked, now).await?;
        }
    }
    Ok(())
}

fn is_of(cloud: &Cloud, upstream: &Upstream, repository: &Repository) -> bool {
    let source = Source::of(cloud, repository.meta.project, &repository.meta.name);
    source.is_some_and(|source| source.upstream.prefix == upstream.prefix)
}

fn used_at(manifest: &RepositoryManifest, asked: &HashSet<Id>, now: Timestamp) -> Timestamp {
    if asked.contains(&manifest.meta.id) {
        return now;
    }
    manifest.meta.updated_at.unwrap_or(manifest.meta.created_at)
}

/// The manifests that must go: first those that were unused for too long, then one after the other from
/// that which was unused the longest, until the rest and what it needs has room.
fn excess(
    mut kept: Vec<Kept>,
    blobs: &HashMap<ContentDigest, u64>,
    limits: Limits,
    now: Timestamp,
) -> HashSet<Id> {
    kept.sort_by_key(|manifest| manifest.used_at);
    let mut users: HashMap<&ContentDigest, usize> = HashMap::new();
    for need in kept.iter().flat_map(|manifest| &manifest.needs) {
        *users.entry(need).or_default() += 1;
    }
    let needed = users.keys().filter_map(|need| blobs.get(*need));
    let mut bytes: u64 = needed.sum();
    bytes += kept.iter().map(|manifest| manifest.size_bytes).sum::<u64>();
    let mut gone = HashSet::new();
    for manifest in &kept {
        let is_old = limits.unused_seconds.is_some_and(|seconds| {
            now.duration_since(manifest.used_at) >= SignedDuration::from_secs(seconds)
        });
        let is_too_much = limits.most_bytes.is_some_and(|most| bytes > most);
        if !is_old && !is_too_much {
            break;
        }
        gone.insert(manifest.id);
        bytes -= manifest.size_bytes;
        for need in &manifest.needs {
            let left = users.entry(need).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                bytes -= blobs.get(need).copied().unwrap_or_default();
            }
        }
    }
    gone
}

/// A repository and what is in it.
struct Shelf {
    repository: Versioned<Repository>,
    manifests: Vec<Versioned<RepositoryManifest>>,
    /// Digests, and bytes of each.
    blobs: Vec<(String, u64)>,
}

impl Shelf {
    fn read(cloud: &Cloud, repository: Versioned<Repository>) -> Self {
        let owner = repository.value.as_owner();
        let blobs = cloud.store.named::<RepositoryBlob>(owner).into_iter();
        Self {
            manifests: cloud.store.named(owner),
            blobs: blobs
                .map(|found| (found.value.meta.name.clone(), found.value.size_bytes))
                .collect(),
            repository,
        }
    }

    /// Removes what is `gone`, and writes down when the rest was used. A change that comes in between
    /// wins: the next look sees it.
    async fn clear(
        self,
        cloud: &Cloud,
        gone: &HashSet<Id>,
        asked: &HashSet<Id>,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        let mut transaction = cloud.store.transaction();
        let mut is_empty = true;
        let mut digests = HashSet::new();
        for found in self.manifests {
            let id = found.value.meta.id;
            if gone.contains(&id) {
                transaction.delete::<RepositoryManifest>(id, Some(found.revision));
                digests.insert(found.value.digest.clone());
            } else if asked.contains(&id) {
                let mut manifest = RepositoryManifest::clone(&found.value);
                manifest.meta.updated_at = Some(now);
                transaction.update(id, found.revision, manifest);
            } else {
                continue;
            }
            is_empty = false;
        }
        if is_empty {
            return Ok(());
        }
        let owner = self.repository.value.as_owner();
        for tag in cloud.store.named::<RepositoryTag>(owner) {
            if digests.contains(&tag.value.manifest) {
                transaction.delete::<RepositoryTag>(tag.value.meta.id, Some(tag.revision));
            }
        }
        transaction.require::<Repository>(self.repository.value.meta.id, self.repository.revision);
        match cloud.store.commit(transaction).await {
            Ok(_)
            | Err(
                CommitError::Conflict { .. }
                | CommitError::NotFound { .. }
                | CommitError::Exists { .. }
                | CommitError::NameTaken { .. },
            ) => Ok(()),
            Err(CommitError::Full(_)) => Err(RegistryError::DiskFull),
            Err(error) => Err(ActionError::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::digest::Algorithm;

    use super::*;

    fn digest(byte: u8) -> ContentDigest {
        ContentDigest::new(Algorithm::Sha256, &[byte; 32])
    }

    /// Manifests of one byte that were used at these seconds and need these blobs.
    fn kept(all: &[(i64, &[u8])]) -> Vec<Kept> {
        let manifests = all.iter().map(|(second, needs)| Kept {
            id: Id::random(),
            size_bytes: 1,
            needs: needs.iter().copied().map(digest).collect(),
            used_at: Timestamp::from_second(*second).unwrap(),
        });
        manifests.collect()
    }

    /// The places of those that must go at second 100.
    fn gone(kept: &[Kept], limits: Limits) -> Vec<usize> {
        let blobs = (1..=4).map(|byte| (digest(byte), 10)).collect();
        let now = Timestamp::from_second(100).unwrap();
        let gone = excess(kept.to_vec(), &blobs, limits, now);
        let mut places: Vec<usize> = (0..kept.len())
            .filter(|place| gone.contains(&kept[*place].id))
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn what_was_unused_for_too_long_goes() {
        let kept = kept(&[(90, &[1]), (10, &[1]), (50, &[2])]);
        let limits = |unused_seconds| Limits {
            most_bytes: None,
            unused_seconds,
        };
        assert!(gone(&kept, limits(None)).is_empty());
        assert_eq!(gone(&kept, limits(Some(60))), [1]);
        assert_eq!(gone(&kept, limits(Some(50))), [1, 2]);
    }

    #[test]
    fn what_was_unused_the_longest_makes_room_and_shared_blobs_count_once() {
        // 3 bytes of manifests and the blobs 1, 2 and 3.
        let kept = kept(&[(90, &[1, 2]), (10, &[1, 3]), (50, &[1])]);
        let limits = |bytes| Limits {
            most_bytes: Some(bytes),
            unused_seconds: None,
        };
        assert!(gone(&kept, limits(33)).is_empty());
        // Its going frees a byte and blob 3; blob 1 is needed by others.
        assert_eq!(gone(&kept, limits(32)), [1]);
        assert_eq!(gone(&kept, limits(22)), [1]);
        assert_eq!(gone(&kept, limits(21)), [1, 2]);
        assert_eq!(gone(&kept, limits(0)), [0, 1, 2]);
    }
}

//! What the store holds: the index on disk, and the same in memory, ready to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::image::Image;
use serde::{Deserialize, Serialize};

use super::LookupError;
use super::step::StepRecord;
use crate::compression::Compression;
use crate::config::ConfigDocument;
use crate::digest::Digest;
use crate::reference::{Reference, is_id, is_lower_hex};

/// The form of `index.json`.
pub(crate) const VERSION: u32 = 1;

/// `index.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) version: u32,
    /// By id.
    pub(crate) images: BTreeMap<Digest, ImageRecord>,
    /// Id by full name: `docker.io/library/busybox:latest`.
    pub(crate) tags: BTreeMap<String, Digest>,
    /// By diff id.
    pub(crate) layers: BTreeMap<Digest, LayerRecord>,
    /// Files that are kept as they came, and their bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<Digest, u64>,
    /// Steps of builds, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) steps: BTreeMap<Digest, StepRecord>,
    /// Id by the digest that a registry knows an image by: `docker.io/library/busybox@sha256:...`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) digests: BTreeMap<String, Digest>,
    /// What layers without compression were pushed as, by their digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pushed_as: BTreeMap<Digest, PushedAs>,
}

/// A layer as it was compressed for a registry. It is not kept: compressing it again gives the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PushedAs {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// An image, beside its configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The image it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Digest>,
    /// The OCI manifest it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tagged_at: Option<Timestamp>,
    /// Not listed, but kept for who uses it: it was removed, or never meant to be seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
}

/// A layer, unpacked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// The layer as it came.
    pub(crate) blob: Digest,
    pub(crate) blob_bytes: u64,
    pub(crate) compression: Compression,
    /// Bytes of the blob without compression.
    pub(crate) plain_bytes: u64,
    /// Bytes of its files.
    pub(crate) size_bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            layers: BTreeMap::new(),
            files: BTreeMap::new(),
            steps: BTreeMap::new(),
            digests: BTreeMap::new(),
            pushed_as: BTreeMap::new(),
        }
    }
}

/// An image with its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) image: Arc<Image>,
    pub(crate) config: Bytes,
    pub(crate) diff_ids: Vec<Digest>,
}

/// How an image was asked for.
#[derive(Debug)]
pub(crate) enum FoundBy {
    /// By this name, in full.
    Name(Reference),
    /// By its id or the beginning of it.
    Id,
}

/// Everything, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) images: BTreeMap<Digest, Stored>,
    /// Images that were not removed, the newest first.
    pub(crate) listed: Vec<Arc<Image>>,
}

impl State {
    /// Adds an image whose layers are here; one that is here already is only listed again, where the
    /// record says so.
    pub(crate) fn add(
        &mut self,
        id: Digest,
        document: &ConfigDocument,
        config: Bytes,
        record: ImageRecord,
    ) {
        if let Some(known) = self.index.images.get_mut(&id) {
            known.removed &= record.removed;
            known.parent = known.parent.or(record.parent);
            known.manifest = known.manifest.or(record.manifest);
            return;
        }
        self.index.images.insert(id, record);
        self.remember(id, document, config);
    }

    /// Takes the configuration of an image of the index into memory.
    pub(crate) fn remember(&mut self, id: Digest, document: &ConfigDocument, config: Bytes) {
        let diff_ids = document.rootfs.diff_ids.clone();
        let size = |diff_id| {
            self.index
                .layers
                .get(diff_id)
                .map_or(0, |layer| layer.size_bytes)
        };
        let sizes: Vec<u64> = diff_ids.iter().map(size).collect();
        let image = Arc::new(document.to_image(id, &sizes));
        self.images.insert(
            id,
            Stored {
                image,
                config,
                diff_ids,
            },
        );
    }

    /// Names an image; answers who had the name before.
    pub(crate) fn tag(&mut self, name: &Reference, id: Digest, now: Timestamp) -> Option<Digest> {
        if let Some(record) = self.index.images.get_mut(&id) {
            record.tagged_at = Some(now);
        }
        self.index
            .tags
            .insert(name.to_string(), id)
            .filter(|before| *before != id)
    }

    /// Says that the registry of a repository knows an image by this digest.
    pub(crate) fn name_by_digest(&mut self, repository: &Reference, digest: &Digest, id: Digest) {
        let name = format!("{}@{digest}", repository.repository());
        self.index.digests.insert(name, id);
    }

    /// Forgets an image and its names.
    pub(crate) fn forget(&mut self, id: &Digest) {
        self.index.images.remove(id);
        self.index.tags.retain(|_, named| named != id);
        self.index.steps.retain(|_, step| step.image != *id);
        self.index.digests.retain(|_, named| named != id);
        self.images.remove(id);
    }

    /// Full names of an image: those with a tag, then those with a digest.
    pub(crate) fn names(&self, id: &Digest) -> Vec<String> {
        self.index
            .tags
            .iter()
            .chain(&self.index.digests)
            .filter(|(_, named)| *named == id)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Brings the images that are read into line with the index.
    pub(crate) fn settle(&mut self) {
        let mut names = by_image(&self.index.tags);
        let mut digested = by_image(&self.index.digests);
        for (id, stored) in &mut self.images {
            let Some(record) = self.index.images.get(id) else {
                continue;
            };
            let tags = names.remove(id).unwrap_or_default();
            let parent = record.parent.map(|parent| parent.to_string());
            let digests = digested.remove(id).unwrap_or_default();
            let image = &stored.image;
            if image.tags != tags
                || image.parent != parent
                || image.tagged_at != record.tagged_at
                || image.digests != digests
            {
                let image = Arc::make_mut(&mut stored.image);
                (image.tags, image.parent, image.tagged_at, image.digests) =
                    (tags, parent, record.tagged_at, digests);
            }
        }
        let index = &self.index;
        let is_listed = |id: &Digest| index.images.get(id).is_some_and(|record| !record.removed);
        self.listed = self
            .images
            .iter()
            .filter(|(id, _)| is_listed(id))
            .map(|(_, stored)| Arc::clone(&stored.image))
            .collect();
        self.listed.sort_by(|one, other| {
            other
                .created_at
                .cmp(&one.created_at)
                .then_with(|| one.id.cmp(&other.id))
        });
    }

    /// Layers that images need.
    pub(crate) fn needed_layers(&self) -> BTreeSet<Digest> {
        self.images
            .values()
            .flat_map(|stored| stored.diff_ids.iter().copied())
            .collect()
    }

    /// Blobs that are needed by images and layers, or kept as files.
    pub(crate) fn needed_blobs(&self) -> BTreeSet<Digest> {
        let manifests = self
            .index
            .images
            .values()
            .filter_map(|record| record.manifest);
        let layers = self.index.layers.values().map(|layer| layer.blob);
        self.index
            .images
            .keys()
            .copied()
            .chain(manifests)
            .chain(layers)
            .chain(self.index.files.keys().copied())
            .collect()
    }

    /// The image with exactly this id, removed or not.
    pub(crate) fn by_id(&self, id: &str) -> Result<&Stored, LookupError> {
        id.parse()
            .ok()
            .and_then(|digest: Digest| self.images.get(&digest))
            .ok_or_else(|| LookupError::NotFound {
                reference: id.to_owned(),
            })
    }

    /// The digest of an image with exactly this id.
    pub(crate) fn digest_of(&self, id: &str) -> Result<Digest, LookupError> {
        let digest = id.parse().ok();
        digest
            .filter(|digest| self.images.contains_key(digest))
            .ok_or_else(|| LookupError::NotFound {
                reference: id.to_owned(),
            })
    }

    fn is_listed(&self, id: &Digest) -> bool {
        self.index
            .images
            .get(id)
            .is_some_and(|record| !record.removed)
    }

    /// There is something that only stays for who uses it.
    pub(crate) fn has_unlisted(&self) -> bool {
        !self.index.files.is_empty() || self.index.images.values().any(|record| record.removed)
    }

    /// The image is there, but not on the list.
    pub(crate) fn is_hidden(&self, id: &Digest) -> bool {
        self.index
            .images
            .get(id)
            .is_some_and(|record| record.removed)
    }

    /// Finds an image by name, id or the beginning of an id, in this order.
    pub(crate) fn find(&self, text: &str) -> Result<(Digest, FoundBy), LookupError> {
        let not_found = |reference: &str| LookupError::NotFound {
            reference: reference.to_owned(),
        };
        let whole_id = if is_id(text) {
            Digest::from_hex(text)
        } else {
            text.parse().ok()
        };
        if let Some(id) = whole_id {
            return if self.is_listed(&id) {
                Ok((id, FoundBy::Id))
            } else {
                Err(not_found(text))
            };
        }
        let reference = Reference::parse(text)
            .map_err(|reason| LookupError::InvalidReference {
                reference: text.to_owned(),
                reason,
            })?
            .or_latest();
        if let Some(id) = self.find_name(&reference) {
            return Ok((id, FoundBy::Name(reference)));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if is_lower_hex(prefix) {
            let mut matching = self
                .index
                .images
                .keys()
                .filter(|id| self.is_listed(id) && id.hex().starts_with(prefix));
            match (matching.next(), matching.next()) {
                (Some(id), None) => return Ok((*id, FoundBy::Id)),
                (Some(_), Some(_)) => {
                    return Err(LookupError::Ambiguous {
                        reference: text.to_owned(),
                    });
                }
                (None, _) => {}
            }
        }
        Err(not_found(&reference.familiar()))
    }

    fn find_name(&self, reference: &Reference) -> Option<Digest> {
        let Some(digest) = reference.digest() else {
            return self.index.tags.get(&reference.to_string()).copied();
        };
        let name = format!("{}@{digest}", reference.repository());
        self.index.digests.get(&name).copied()
    }
}

/// Names, by what they name.
fn by_image(names: &BTreeMap<String, Digest>) -> BTreeMap<Digest, Vec<String>> {
    let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (name, id) in names {
        found.entry(*id).or_default().push(name.clone());
    }
    found
}

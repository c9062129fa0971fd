//! Pushing images: the blobs that a registry has not, then the manifest.
//!
//! An image that came from a registry or a layout goes out byte for byte as it came, so that its
//! digests stay. Other layers are compressed on their way, always in the same way; what came out is
//! remembered, so that the next push can ask for it and need not send anything.

mod manifest;
mod packing;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{mpsc, watch};

use self::manifest::{media_type_of, write_manifest};

use super::index::{LayerRecord, PushedAs, State};
use super::transfer::Pinned;
use super::{ContentError, Store};
use crate::compression::Compression;
use crate::digest::{Digest, DigestError};
use crate::reference::Reference;
use crate::registry::{
    Access, Begun, Credentials, Mounting, Registries, RegistryError, Report, Repository, Source,
};

/// How many neighbours are asked for a layer before it is sent.
const MOST_NEIGHBOURS: usize = 3;

/// What is to be pushed.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// With a tag; without one, all tags of its repository.
    pub reference: Reference,
    /// For the reference's own registry.
    pub credentials: Option<Credentials>,
}

/// What a push tells on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushStep {
    /// A layer.
    Layer {
        /// Digest of the layer without compression.
        layer: String,
        /// How far it is.
        stage: UploadStage,
    },
    /// An image is in the registry.
    Tag {
        /// Its tag.
        tag: String,
        /// The digest of its manifest.
        digest: String,
        /// Bytes of its manifest.
        size_bytes: usize,
    },
}

/// How far a layer is on its way to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadStage {
    /// It is to be sent.
    Preparing,
    /// Others go first.
    Waiting,
    /// It is being sent.
    Pushing {
        /// Bytes that have gone out.
        current_bytes: u64,
        /// All of them, or of the layer without compression.
        total_bytes: u64,
    },
    /// It broke off, and is tried again.
    Retrying,
    /// The registry has it already.
    Exists,
    /// The registry has it in another repository.
    Mounted {
        /// Its name.
        from: String,
    },
    /// The registry has it now.
    Pushed,
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No image has a name in this repository.
    #[error("An image does not exist locally with the tag: {name}")]
    NoImage {
        /// The repository, in familiar form.
        name: String,
    },
    /// No image has this name.
    #[error("tag does not exist: {reference}")]
    NoTag {
        /// In familiar form.
        reference: String,
    },
    /// Only a tag can be pushed.
    #[error("cannot push a digest reference")]
    Digest,
    /// The registry did not take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its manifest does not parse any more, or cannot be written.
    #[error("the manifest of image {id}")]
    Manifest {
        /// The image's id.
        id: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Its manifest has a digest that cannot be.
    #[error(transparent)]
    ManifestDigest(#[from] DigestError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

type Tell<'a> = &'a (dyn Fn(PushStep) + Send + Sync);

/// A layer of an image, and how it is here.
#[derive(Clone, Copy)]
struct Local {
    diff_id: Digest,
    record: LayerRecord,
    /// As what it is in the manifest; `None` where that is only known once it has been compressed.
    blob: Option<Blob>,
    /// It is compressed on its way.
    packs: bool,
}

/// A blob as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blob {
    digest: Digest,
    size_bytes: u64,
}

/// A push under way.
struct Push<'a> {
    store: &'a Store,
    repository: Repository,
    /// Repositories of the same registry that have images with this layer.
    neighbours: BTreeMap<Digest, BTreeSet<String>>,
    /// What layers were compressed to.
    packed: Mutex<BTreeMap<Digest, PushedAs>>,
    tell: Tell<'a>,
}

impl Store {
    /// Pushes one tag, or all of a repository. Answers the ids of the images, by name.
    ///
    /// # Errors
    /// When there is no such image, or the registry does not take it.
    pub async fn push(
        &self,
        registries: &Registries,
        request: &PushRequest,
        tell: Tell<'_>,
    ) -> Result<Vec<(Reference, String)>, PushError> {
        let mut images = Vec::new();
        let (state, _, pins) = self.pin_images(|state| {
            images = wanted(state, &request.reference)?;
            Ok::<_, PushError>(images.iter().map(|(_, id)| *id).collect())
        })?;
        let _pins = Pinned::new(pins);
        let neighbours = neighbours(&state, &request.reference, &images);
        let from: BTreeSet<String> = neighbours.values().flatten().cloned().collect();
        let access = Access::Push {
            from: from.into_iter().collect(),
        };
        let repository = registries
            .repository(&request.reference, access, request.credentials.clone())
            .await?;
        let push = Push {
            store: self,
            repository,
            neighbours,
            packed: Mutex::default(),
            tell,
        };
        let mut pushed = Vec::new();
        for (name, id) in images {
            let manifest = push.image(&state, &name, id).await?;
            let packed = std::mem::take(&mut *push.packed());
            let (store, reference) = (self.clone(), name.clone());
            let noting =
                tokio::task::spawn_blocking(move || store.note(&reference, id, manifest, packed));
            match noting.await {
                Ok(noted) => noted?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
            pushed.push((name, id.to_string()));
        }
        Ok(pushed)
    }

    /// Writes down what the registry knows an image by, and what its layers were compressed to.
    fn note(
        &self,
        name: &Reference,
        id: Digest,
        manifest: Digest,
        packed: BTreeMap<Digest, PushedAs>,
    ) -> Result<(), ContentError> {
        self.change(|state| {
            // Somebody may have removed it by now; it was pushed all the same.
            if state.images.contains_key(&id) && !state.is_hidden(&id) {
                state.name_by_digest(name, &manifest, id);
            }
            state.index.pushed_as.extend(packed);
            Ok(())
        })
    }
}

impl Push<'_> {
    fn packed(&self) -> MutexGuard<'_, BTreeMap<Digest, PushedAs>> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes an image; answers the digest of its manifest.
    async fn image(
        &self,
        state: &State,
        name: &Reference,
        id: Digest,
    ) -> Result<Digest, PushError> {
        let gone = || PushError::NoTag {
            reference: name.familiar(),
        };
        let stored = state.images.get(&id).ok_or_else(gone)?;
        let kept = match state.index.images.get(&id).and_then(|image| image.manifest) {
            Some(manifest) => Some(Bytes::from(self.store.content().read_blob(&manifest)?)),
            None => None,
        };
        let mut layers = Vec::new();
        for diff_id in &stored.diff_ids {
            let record = *state.index.layers.get(diff_id).ok_or_else(gone)?;
            // A manifest that came with the image names its layers as they came.
            let packs = kept.is_none() && record.compression == Compression::Plain;
            let blob = if packs {
                let known = state.index.pushed_as.get(diff_id);
                known.map(|known| Blob {
                    digest: known.digest,
                    size_bytes: known.size_bytes,
                })
            } else {
                Some(Blob {
                    digest: record.blob,
                    size_bytes: record.blob_bytes,
                })
            };
            layers.push(Local {
                diff_id: *diff_id,
                record,
                blob,
                packs,
            });
        }
        let unique: BTreeMap<Digest, Local> =
            layers.iter().map(|local| (local.diff_id, *local)).collect();
        for local in unique.values() {
            self.tell(local, UploadStage::Preparing);
        }
        let sending = unique.values().map(|local| async {
            let blob = self.layer(local).await?;
            Ok::<_, PushError>((local.diff_id, blob))
        });
        let blobs: BTreeMap<Digest, Blob> = try_join_all(sending).await?.into_iter().collect();
        self.config(id, &stored.config).await?;
        let failed = |source| PushError::Manifest {
            id: id.to_string(),
            source,
        };
        let (media_type, manifest) = match kept {
            Some(text) => (media_type_of(&text).map_err(failed)?, text),
            None => {
                let config = Blob {
                    digest: id,
                    size_bytes: stored.config.len() as u64,
                };
                let layers = layers.iter().filter_map(|local| {
                    let blob = blobs.get(&local.diff_id)?;
                    Some((*blob, local.record.compression))
                });
                write_manifest(config, layers).map_err(failed)?
            }
        };
        let tag = name.tag().unwrap_or_default();
        self.repository
            .put_manifest(tag, &media_type, &manifest)
            .await?;
        let digest = Digest::of(&manifest);
        (self.tell)(PushStep::Tag {
            tag: tag.to_owned(),
            digest: digest.to_string(),
            size_bytes: manifest.len(),
        });
        Ok(digest)
    }

    fn tell(&self, local: &Local, stage: UploadStage) {
        (self.tell)(PushStep::Layer {
            layer: local.diff_id.to_string(),
            stage,
        });
    }

    /// Sees to it that the registry has a layer; answers as what.
    async fn layer(&self, local: &Local) -> Result<Blob, PushError> {
        let leave = self.repository.registries().uploads();
        let _leave = match Arc::clone(&leave).try_acquire_owned() {
            Ok(leave) => Ok(leave),
            Err(_) => {
                self.tell(local, UploadStage::Waiting);
                leave.acquire_owned().await
            }
        };
        let mut begun = None;
        if let Some(blob) = local.blob {
            if self.repository.has_blob(&blob.digest).await? {
                self.tell(local, UploadStage::Exists);
                return Ok(blob);
            }
            let neighbours = self.neighbours.get(&local.diff_id).into_iter().flatten();
            for from in neighbours.take(MOST_NEIGHBOURS) {
                match self.repository.mount(&blob.digest, from).await? {
                    Mounting::Mounted => {
                        self.tell(local, UploadStage::Mounted { from: from.clone() });
                        return Ok(blob);
                    }
                    Mounting::Begun(another) => {
                        if let Some(begun) = begun.replace(another) {
                            self.repository.cancel(begun).await;
                        }
                    }
                }
            }
        }
        let mut failures = 0;
        loop {
            match self.send_layer(local, begun.take()).await {
                Ok(blob) => {
                    self.tell(local, UploadStage::Pushed);
                    return Ok(blob);
                }
                Err(error) if error.is_transient() => {
                    failures += 1;
                    self.tell(local, UploadStage::Retrying);
                    self.repository.wait_after(failures, error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a layer, compressed where it is not.
    async fn send_layer(&self, local: &Local, begun: Option<Begun>) -> Result<Blob, RegistryError> {
        let begun = match begun {
            Some(begun) => begun,
            None => self.repository.begin().await?,
        };
        let path = self.store.content().blob_path(&local.record.blob);
        let packed = Arc::new(Mutex::new(local.blob.filter(|_| !local.packs)));
        let (packs, found) = (local.packs, Arc::clone(&packed));
        let source: Source = Arc::new(move || packing::read(&path, packs, Arc::clone(&found)));
        let (sender, mut sent) = watch::channel(0_u64);
        let report: Report = Arc::new(move |bytes| {
            sender.send_replace(bytes);
        });
        let total_bytes = local.record.blob_bytes;
        let size_bytes = local.blob.filter(|_| !packs).map(|blob| blob.size_bytes);
        let result = || *packed.lock().unwrap_or_else(PoisonError::into_inner);
        let uploading = self
            .repository
            .upload(begun, size_bytes, &source, &report, || {
                result().map(|blob| blob.digest)
            });
        let mut uploading = pin!(uploading);
        loop {
            tokio::select! {
                uploaded = &mut uploading => {
                    uploaded?;
                    break;
                }
                Ok(()) = sent.changed() => {
                    let current_bytes = *sent.borrow_and_update();
                    self.tell(local, UploadStage::Pushing { current_bytes, total_bytes });
                }
            }
        }
        let blob = result().ok_or(RegistryError::Abandoned)?;
        if packs {
            let pushed_as = PushedAs {
                digest: blob.digest,
                size_bytes: blob.size_bytes,
            };
            self.packed().insert(local.diff_id, pushed_as);
        }
        Ok(blob)
    }

    /// Sees to it that the registry has the configuration.
    async fn config(&self, id: Digest, config: &Bytes) -> Result<(), PushError> {
        if self.repository.has_blob(&id).await? {
            return Ok(());
        }
        let begun = self.repository.begin().await?;
        let content = config.clone();
        let source: Source = Arc::new(move || {
            let (sender, receiver) = mpsc::channel(2);
            // There is room for both.
            let _sent = [content.clone(), Bytes::new()].map(|chunk| sender.try_send(Ok(chunk)));
            receiver
        });
        let size_bytes = Some(config.len() as u64);
        let report: Report = Arc::new(|_| {});
        self.repository
            .upload(begun, size_bytes, &source, &report, || Some(id))
            .await?;
        Ok(())
    }
}

/// The images to push, each with the name that it goes by.
fn wanted(state: &State, reference: &Reference) -> Result<Vec<(Reference, Digest)>, PushError> {
    if reference.digest().is_some() {
        return Err(PushError::Digest);
    }
    let repository = reference.repository();
    let tags: Vec<(Reference, Digest)> = state
        .index
        .tags
        .iter()
        .filter_map(|(name, id)| Some((Reference::parse(name).ok()?, *id)))
        .filter(|(name, _)| name.repository() == repository)
        .collect();
    if tags.is_empty() {
        return Err(PushError::NoImage {
            name: reference.familiar_name(),
        });
    }
    let Some(tag) = reference.tag() else {
        return Ok(tags);
    };
    let found = tags.into_iter().find(|(name, _)| name.tag() == Some(tag));
    found
        .map(|found| vec![found])
        .ok_or_else(|| PushError::NoTag {
            reference: reference.familiar(),
        })
}

/// Repositories of the same registry that are known to have images with these layers.
fn neighbours(
    state: &State,
    reference: &Reference,
    images: &[(Reference, Digest)],
) -> BTreeMap<Digest, BTreeSet<String>> {
    let layers: BTreeSet<Digest> = images
        .iter()
        .filter_map(|(_, id)| state.images.get(id))
        .flat_map(|stored| stored.diff_ids.iter().copied())
        .collect();
    let mut found: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    for (name, id) in &state.index.digests {
        let Ok(name) = Reference::parse(name) else {
            continue;
        };
        if name.domain() != reference.domain() || name.path() == reference.path() {
            continue;
        }
        let theirs = state
            .images
            .get(id)
            .into_iter()
            .flat_map(|image| &image.diff_ids);
        for layer in theirs.filter(|layer| layers.contains(layer)) {
            found
                .entry(*layer)
                .or_default()
                .insert(name.path().to_owned());
        }
    }
    found
}

//! Pulling an image: its manifest and configuration first, then only the layers that are not here,
//! several at once, and at last the image appears.
//!
//! All or nothing: after an error, or when the future is dropped, the store is as before, but for
//! layers that another pull still waits for.

mod described;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use self::described::{Described, described};
use super::index::ImageRecord;
use super::transfer::{LayerStage, Pinned, Transfer, TransferError};
use super::{ContentError, Store};
use crate::config::ConfigDocument;
use crate::digest::{Digest, DigestError};
use crate::platform::{self, Platform};
use crate::reference::Reference;
use crate::registry::{
    Access, Credentials, Document, Registries, RegistryError, Repository, Wanted, digest_of,
};

const DEEPEST_NESTING: usize = 4;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// With a tag or a digest.
    pub reference: Reference,
    /// For what platform; `None` is this host's.
    pub platform: Option<Platform>,
    /// For the reference's own registry.
    pub credentials: Option<Credentials>,
}

/// What a pull tells on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullStep {
    /// The manifest is here.
    Found {
        /// The tag or digest that was asked for.
        what: String,
        /// The repository's name at its registry.
        repository: String,
    },
    /// A layer is here already.
    Known {
        /// Digest of its blob.
        layer: String,
    },
    /// A layer is on its way.
    Layer {
        /// Digest of its blob.
        layer: String,
        /// How far it is.
        stage: LayerStage,
        /// Bytes of it in all.
        total_bytes: u64,
    },
    /// The image is in the store.
    Done(Pulled),
}

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its id: `sha256:...`.
    pub id: String,
    /// What was asked for, in familiar form.
    pub reference: String,
    /// The digest that the registry knows it by.
    pub digest: String,
    /// The name meant another image, or none, before.
    pub is_new: bool,
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layer.
    #[error(transparent)]
    Transfer(Arc<TransferError>),
    /// A document does not parse.
    #[error("understand {what} {digest}")]
    Document {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// A digest that cannot be.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Docker's form of before 2016.
    #[error(
        "{reference} has a manifest of Docker's first version (schema 1), which is not supported any more: push it again with a newer client"
    )]
    Schema1 {
        /// What was asked for.
        reference: String,
    },
    /// Something else than an image, or something in it that is not understood.
    #[error("unsupported media type {media_type}")]
    MediaType {
        /// What it says that it is.
        media_type: String,
    },
    /// A layer that is not in the registry.
    #[error(
        "layer {digest} may not be distributed ({media_type}): it would have to come from somewhere else than the registry"
    )]
    Foreign {
        /// Its digest.
        digest: String,
        /// What it says that it is.
        media_type: String,
    },
    /// None of its images suits.
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform {
        /// What was asked for.
        platform: String,
    },
    /// The one image that there is does not suit.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({platform})"
    )]
    Platform {
        /// What was asked for.
        reference: String,
        /// What it is for.
        found: String,
        /// What it should be for.
        platform: String,
    },
    /// Indexes within indexes without end.
    #[error("the image index is nested too deeply")]
    Nesting,
    /// A document is larger than any of its kind.
    #[error("{what} {digest} has {size_bytes} bytes, too many for one")]
    TooLarge {
        /// `configuration`.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// By its descriptor.
        size_bytes: u64,
    },
    /// Manifest and configuration disagree.
    #[error(
        "layers from manifest don't match image configuration: expected {expected}, got {found}"
    )]
    LayerCount {
        /// In the manifest.
        expected: usize,
        /// In the configuration.
        found: usize,
    },
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl PullError {
    /// What the registry says, where it is the registry that says no.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Registry(error) => Some(error),
            Self::Transfer(error) => match error.as_ref() {
                TransferError::Registry(error) => Some(error),
                TransferError::Arrival(_) => None,
            },
            _ => None,
        }
    }

    /// The host's disk is full or fails.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Transfer(error) => {
                matches!(error.as_ref(), TransferError::Arrival(error) if error.is_hosts())
            }
            _ => false,
        }
    }
}

type Tell<'a> = &'a (dyn Fn(PullStep) + Send + Sync);

impl Store {
    /// Pulls an image and names it.
    ///
    /// # Errors
    /// When the registry does not give it, it is not what it says, or the disk is full.
    pub async fn pull(
        &self,
        registries: &Registries,
        request: &PullRequest,
        tell: Tell<'_>,
    ) -> Result<Pulled, PullError> {
        for mirror in registries.mirrors(&request.reference) {
            let address = mirror.address();
            match self.describe(&mirror, request).await {
                Ok(described) => return self.pull_from(mirror, described, request, tell).await,
                Err(error) => tracing::warn!(
                    mirror = address,
                    error = &error as &dyn std::error::Error,
                    "a mirror does not give an image; its own registry is asked"
                ),
            }
        }
        let repository = registries
            .repository(
                &request.reference,
                Access::Pull,
                request.credentials.clone(),
            )
            .await?;
        if let Some(known) = self.up_to_date(&repository, request).await? {
            tell(PullStep::Found {
                what: what(&request.reference).to_owned(),
                repository: repository.path().to_owned(),
            });
            tell(PullStep::Done(known.clone()));
            return Ok(known);
        }
        let described = self.describe(&repository, request).await?;
        self.pull_from(repository, described, request, tell).await
    }

    /// The image that the tag means, where it means the same in the registry: asking so does not
    /// count as a pull where pulls are counted.
    async fn up_to_date(
        &self,
        repository: &Repository,
        request: &PullRequest,
    ) -> Result<Option<Pulled>, PullError> {
        let reference = &request.reference;
        let named = self.state().index.tags.get(&reference.to_string()).copied();
        let (Some(id), None) = (named, &request.platform) else {
            return Ok(None);
        };
        let Some(digest) = repository.manifest_digest(what(reference)).await? else {
            return Ok(None);
        };
        let name = format!("{}@{digest}", reference.repository());
        let is_same = self.state().index.digests.get(&name) == Some(&id);
        Ok(is_same.then(|| Pulled {
            id: id.to_string(),
            reference: reference.familiar(),
            digest: digest.to_string(),
            is_new: false,
        }))
    }

    /// Fetches the manifest of the image that suits.
    async fn describe(
        &self,
        repository: &Repository,
        request: &PullRequest,
    ) -> Result<Described, PullError> {
        let what = what(&request.reference);
        let host = Platform::host();
        let wanted = request.platform.as_ref().unwrap_or(&host);
        let mut fetched = repository.manifest(what).await?;
        let named = fetched.digest;
        for _ in 0..DEEPEST_NESTING {
            let document = fetched.read().map_err(|source| PullError::Document {
                what: "manifest",
                digest: fetched.digest.to_string(),
                source,
            })?;
            match document {
                Document::Image(image) => return described(named, &fetched, &image),
                Document::Index(index) => {
                    let chosen = platform::choose(index.manifests(), wanted).ok_or_else(|| {
                        PullError::NoPlatform {
                            platform: wanted.to_string(),
                        }
                    })?;
                    let digest = digest_of(chosen)?;
                    fetched = repository.manifest(&digest.to_string()).await?;
                }
                Document::Schema1 => {
                    return Err(PullError::Schema1 {
                        reference: request.reference.familiar(),
                    });
                }
                Document::Other(media_type) => return Err(PullError::MediaType { media_type }),
            }
        }
        Err(PullError::Nesting)
    }

    async fn pull_from(
        &self,
        repository: Repository,
        described: Described,
        request: &PullRequest,
        tell: Tell<'_>,
    ) -> Result<Pulled, PullError> {
        let repository = Arc::new(repository);
        tell(PullStep::Found {
            what: what(&request.reference).to_owned(),
            repository: repository.path().to_owned(),
        });
        let id = described.config.digest;
        let held = self.hold(id);
        let known = self.config_at_hand(&id);
        let config = match known {
            Some(config) => config,
            None => repository.small_blob(described.config).await?,
        };
        let document: ConfigDocument =
            serde_json::from_slice(&config).map_err(|source| PullError::Document {
                what: "configuration",
                digest: id.to_string(),
                source,
            })?;
        check_platform(&document, request)?;
        let diff_ids = document.rootfs.diff_ids.clone();
        let (expected, found) = (described.layers.len(), diff_ids.len());
        if expected != found {
            return Err(PullError::LayerCount { expected, found });
        }
        let layers: BTreeMap<Digest, Wanted> = diff_ids
            .iter()
            .copied()
            .zip(described.layers.iter().copied())
            .collect();
        let pins = self
            .pull_layers(&repository, &diff_ids, &layers, tell)
            .await?;
        let (store, reference) = (self.clone(), request.reference.clone());
        let adding = tokio::task::spawn_blocking(move || {
            let added = store.add_pulled(&reference, described, &document, config, &layers);
            drop((pins, held));
            added
        });
        let pulled = match adding.await {
            Ok(added) => added?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        tell(PullStep::Done(pulled.clone()));
        Ok(pulled)
    }

    /// The configuration of an image that is here whole.
    fn config_at_hand(&self, id: &Digest) -> Option<Bytes> {
        let state = self.state();
        state.images.get(id).map(|stored| stored.config.clone())
    }

    /// Sees to it that all these layers are here, and stay.
    async fn pull_layers(
        &self,
        repository: &Arc<Repository>,
        diff_ids: &[Digest],
        layers: &BTreeMap<Digest, Wanted>,
        tell: Tell<'_>,
    ) -> Result<Vec<Arc<Pinned>>, PullError> {
        let mut pins = Vec::new();
        let mut under_way: Vec<(Wanted, Arc<Transfer>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for diff_id in diff_ids {
            let Some(wanted) = layers.get(diff_id).filter(|_| seen.insert(*diff_id)) else {
                continue;
            };
            if let Some(pinned) = self.pin_layer(*diff_id) {
                pins.push(Arc::new(Pinned::new(pinned)));
                tell(PullStep::Known {
                    layer: wanted.digest.to_string(),
                });
            } else {
                tell(step(wanted, LayerStage::Queued));
                under_way.push((*wanted, self.transfer(repository, *wanted, *diff_id)));
            }
        }
        let waiting = under_way.iter().map(|(wanted, transfer)| async move {
            let told = Mutex::new(LayerStage::Queued);
            let outcome = transfer
                .finished(|stage| {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    for stage in between(*told, stage) {
                        tell(step(wanted, stage));
                    }
                    *told = stage;
                })
                .await;
            outcome.map_err(PullError::Transfer)
        });
        pins.extend(try_join_all(waiting).await?);
        Ok(pins)
    }

    /// The image appears, with its name. Waits for the disk.
    fn add_pulled(
        &self,
        reference: &Reference,
        described: Described,
        document: &ConfigDocument,
        config: Bytes,
        layers: &BTreeMap<Digest, Wanted>,
    ) -> Result<Pulled, PullError> {
        self.content().flush_names()?;
        let id = described.config.digest;
        self.change(|state| {
            let has_blobs = layers.iter().all(|(diff_id, wanted)| {
                let layer = state.index.layers.get(diff_id);
                layer.is_some_and(|layer| layer.blob == wanted.digest)
            });
            self.content().write_blob(&id, &config)?;
            if has_blobs {
                self.content()
                    .write_blob(&described.manifest_digest, &described.manifest_text)?;
            }
            let record = ImageRecord {
                manifest: has_blobs.then_some(described.manifest_digest),
                ..ImageRecord::default()
            };
            state.add(id, document, config, record);
            let digest_name = format!("{}@{}", reference.repository(), described.named);
            let had = match reference.tag() {
                Some(_) => state.index.tags.get(&reference.to_string()).copied(),
                None => state.index.digests.get(&digest_name).copied(),
            };
            if reference.tag().is_some() && reference.digest().is_none() {
                state.tag(reference, id, Timestamp::now());
            }
            state.name_by_digest(reference, &described.named, id);
            Ok(Pulled {
                id: id.to_string(),
                reference: reference.familiar(),
                digest: described.named.to_string(),
                is_new: had != Some(id),
            })
        })
    }
}

fn step(wanted: &Wanted, stage: LayerStage) -> PullStep {
    PullStep::Layer {
        layer: wanted.digest.to_string(),
        stage,
        total_bytes: wanted.size_bytes,
    }
}

/// The stages to tell after `told`, up to `stage`: those that passed too quickly to be seen, too.
fn between(told: LayerStage, stage: LayerStage) -> Vec<LayerStage> {
    if told == stage {
        return Vec::new();
    }
    let passed = [
        LayerStage::Verifying,
        LayerStage::Downloaded,
        LayerStage::Extracting,
    ];
    passed
        .into_iter()
        .filter(|passed| told < *passed && *passed < stage)
        .chain([stage])
        .collect()
}

/// The tag or digest that a reference asks for.
fn what(reference: &Reference) -> &str {
    reference.digest().or(reference.tag()).unwrap_or("latest")
}

/// An image without an index is for what its configuration says.
fn check_platform(document: &ConfigDocument, request: &PullRequest) -> Result<(), PullError> {
    let found = Platform::new(
        if document.os.is_empty() {
            "linux"
        } else {
            &document.os
        },
        &document.architecture,
        &document.variant,
    );
    let mismatch = |platform: String| PullError::Platform {
        reference: request.reference.familiar(),
        found: found.to_string(),
        platform,
    };
    match &request.platform {
        Some(wanted) if !wanted.accepts(&found) => Err(mismatch(wanted.to_string())),
        _ if found.os != "linux" => Err(mismatch(Platform::host().to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_passed_unseen_are_told() {
        use LayerStage::*;
        let downloading = |current_bytes| Downloading { current_bytes };
        assert_eq!(between(Queued, downloading(1)), [downloading(1)]);
        assert_eq!(between(downloading(1), downloading(1)), []);
        assert_eq!(
            between(downloading(1), Pulled),
            [Verifying, Downloaded, Extracting, Pulled]
        );
        assert_eq!(between(Extracting, Pulled), [Pulled]);
        assert_eq!(between(Retrying, downloading(3)), [downloading(3)]);
    }
}

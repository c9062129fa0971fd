//! Loading archives: Docker's and OCI layouts, as tar streams of unknown size.
//!
//! The layers come before the manifest that says what they are, so every member is spooled to
//! `staging` and hashed while the stream is read; then layers that are not here yet are unpacked,
//! several at once, and at last the images appear all together.

mod docker_archive;
mod members;
mod oci_layout;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::io::AsyncRead;

use super::content::Staging;
use super::file::KeptFile;
use super::held::Held;
use super::index::ImageRecord;
use super::layers::{LayerError, Pins, StagedBlob};
use super::{ContentError, Store};
use crate::archive::ArchiveError;
use crate::compression::unpacked;
use crate::config::ConfigDocument;
use crate::digest::{Digest, DigestError};
use crate::pipe;
use crate::reference::{Reference, ReferenceError};
use members::Members;

/// Largest configuration or manifest.
const LARGEST_DOCUMENT: u64 = 8 << 20;

/// How far the unpacking of one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Digest of the unpacked layer: `sha256:...`.
    pub layer: String,
    /// Bytes of the layer as it came, read so far.
    pub current_bytes: u64,
    /// All of them.
    pub total_bytes: u64,
}

/// An image that was loaded: one for each of its names, or one without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its id: `sha256:...`.
    pub id: String,
    /// The name it got, in familiar form: `busybox:latest`.
    pub reference: Option<String>,
    /// Id of the image that had this name before.
    pub displaced: Option<String>,
}

/// Why an archive was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read as a tar.
    #[error("read the image archive")]
    Archive(#[from] ArchiveError),
    /// It is a tar, but of something else.
    #[error("not an image archive: it has neither manifest.json nor index.json")]
    NotImages,
    /// It was to be one image.
    #[error("the image archive has {found} images; it must have exactly one")]
    NotOne {
        /// How many it has.
        found: usize,
    },
    /// It has more members than any image needs.
    #[error("image archive has more than {0} members")]
    TooManyMembers(usize),
    /// Something that it refers to is not in it.
    #[error("image archive has no {}", path.display())]
    MissingMember {
        /// Its name.
        path: PathBuf,
    },
    /// A manifest or configuration is too large to be one.
    #[error("image archive: {} is too large", path.display())]
    DocumentTooLarge {
        /// Its name.
        path: PathBuf,
    },
    /// A manifest or configuration does not parse.
    #[error("image archive: invalid {}", path.display())]
    Document {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A digest that cannot be.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A member is not what it is called by.
    #[error("image archive: {} has digest {found}", path.display())]
    DigestMismatch {
        /// Its name.
        path: PathBuf,
        /// The digest of its content.
        found: String,
    },
    /// A member has another size than its descriptor says.
    #[error("image archive: {} has {found} bytes, its descriptor says {said}", path.display())]
    SizeMismatch {
        /// Its name.
        path: PathBuf,
        /// As stored.
        found: u64,
        /// As claimed.
        said: u64,
    },
    /// Manifest and configuration disagree.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {found}")]
    LayerCount {
        /// In the manifest.
        expected: usize,
        /// In the configuration.
        found: usize,
    },
    /// Something else than an image: a chart, a signature.
    #[error("{media_type} is not an image")]
    MediaType {
        /// What it says that it is.
        media_type: String,
    },
    /// Indexes within indexes without end.
    #[error("image index is nested too deeply")]
    Nesting,
    /// An image of many platforms, none of which fits.
    #[error("no image for platform {platform} in the index")]
    NoPlatform {
        /// This host's: `linux/amd64`.
        platform: String,
    },
    /// An image for another operating system.
    #[error("cannot load {os} image on linux")]
    OperatingSystem {
        /// Its operating system.
        os: String,
    },
    /// A name of it is none.
    #[error("invalid tag {name:?}: {reason}")]
    Name {
        /// As in the archive.
        name: String,
        /// What is wrong with it.
        reason: ReferenceError,
    },
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl LoadError {
    /// The host's disk is full or fails, rather than that something is wrong with the archive.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Layer(error) => error.is_hosts(),
            _ => false,
        }
    }
}

/// An image as an archive describes it.
#[derive(Debug)]
struct Candidate {
    config: Vec<u8>,
    document: ConfigDocument,
    id: Digest,
    /// The blob of each layer, the base first; `None` where the archive does not have it.
    layers: Vec<Option<StagedBlob>>,
    names: Vec<Reference>,
    parent: Option<Digest>,
    manifest: Option<(Digest, Vec<u8>)>,
    /// It is not to be listed.
    hidden: bool,
}

impl Candidate {
    /// Checks what every image must have.
    fn new(
        path: PathBuf,
        config: Vec<u8>,
        layers: Vec<Option<StagedBlob>>,
        names: Vec<Reference>,
    ) -> Result<Self, LoadError> {
        let document: ConfigDocument = serde_json::from_slice(&config)
            .map_err(|source| LoadError::Document { path, source })?;
        let (expected, found) = (layers.len(), document.rootfs.diff_ids.len());
        if expected != found {
            return Err(LoadError::LayerCount { expected, found });
        }
        if !matches!(document.os.as_str(), "" | "linux") {
            return Err(LoadError::OperatingSystem { os: document.os });
        }
        let id = Digest::of(&config);
        Ok(Self {
            config,
            document,
            id,
            layers,
            names,
            parent: None,
            manifest: None,
            hidden: false,
        })
    }
}

impl Store {
    /// Loads every image of a Docker archive or OCI layout (tar; plain, gzip or zstd).
    ///
    /// All or nothing: after an error, or when the future is dropped before the stream was read
    /// to its end, the store is as before.
    ///
    /// # Errors
    /// When the archive is not one, is hostile or incomplete, or the disk is full.
    ///
    /// # Panics
    /// When `progress` does.
    pub async fn load(
        &self,
        tar: impl AsyncRead + Unpin + Send + 'static,
        progress: impl Fn(Progress) + Send + 'static,
    ) -> Result<Vec<Loaded>, LoadError> {
        let store = self.clone();
        pipe::feed_blocking(tar, move |reader| store.load_blocking(reader, progress)).await
    }

    pub(crate) fn load_blocking(
        &self,
        reader: impl Read + Send,
        progress: impl Fn(Progress) + Send,
    ) -> Result<Vec<Loaded>, LoadError> {
        let staging = self.content().staging()?;
        let candidates = read_archive(reader, &staging)?;
        let _pins = self.unpack_candidates(&candidates, staging, progress)?;
        self.add_images(candidates)
    }

    /// Unpacks the one image of a kept archive, and answers its id.
    ///
    /// It is not listed and has none of the archive's names; it stays as long as the answer lives,
    /// then for who uses it. Waits for the disk.
    ///
    /// # Errors
    /// As [`Store::load`], and when the archive has several images.
    pub fn load_kept(&self, file: &KeptFile) -> Result<(String, Held), LoadError> {
        let staging = self.content().staging()?;
        let archive = self.content().open_blob(&file.digest)?;
        let mut candidates = read_archive(archive, &staging)?;
        let found = candidates.len();
        let [candidate] = candidates.as_mut_slice() else {
            return Err(LoadError::NotOne { found });
        };
        candidate.names.clear();
        candidate.hidden = true;
        let id = candidate.id;
        let held = self.hold(id);
        let _pins = self.unpack_candidates(&candidates, staging, |_| {})?;
        self.add_images(candidates)?;
        Ok((id.to_string(), held))
    }

    /// Unpacks the layers that are not here yet.
    fn unpack_candidates(
        &self,
        candidates: &[Candidate],
        staging: Staging,
        progress: impl Fn(Progress) + Send,
    ) -> Result<Pins, LoadError> {
        let mut layers: BTreeMap<Digest, Option<StagedBlob>> = BTreeMap::new();
        for candidate in candidates {
            for (diff_id, blob) in candidate
                .document
                .rootfs
                .diff_ids
                .iter()
                .zip(&candidate.layers)
            {
                let known = layers.entry(*diff_id).or_default();
                *known = known.take().or_else(|| blob.clone());
            }
        }
        let progress = Mutex::new(progress);
        let pins =
            self.ensure_layers(&layers, &staging, &|layer, current_bytes, total_bytes| {
                let report = progress.lock().unwrap_or_else(PoisonError::into_inner);
                report(Progress {
                    layer: layer.to_string(),
                    current_bytes,
                    total_bytes,
                });
            })?;
        drop(staging);
        self.content().flush_names()?;
        Ok(pins)
    }

    fn add_images(&self, candidates: Vec<Candidate>) -> Result<Vec<Loaded>, LoadError> {
        self.change(|state| {
            let now = Timestamp::now();
            let mut loaded = Vec::new();
            for candidate in candidates {
                let id = candidate.id;
                // The manifest is of use only with the very blobs that it lists.
                let is_ours = |(diff_id, blob): (&Digest, &Option<StagedBlob>)| {
                    let blob = blob.as_ref().map(|blob| blob.spooled.digest);
                    state.index.layers.get(diff_id).map(|layer| layer.blob) == blob
                };
                let has_blobs = candidate
                    .document
                    .rootfs
                    .diff_ids
                    .iter()
                    .zip(&candidate.layers)
                    .all(is_ours);
                let manifest = candidate.manifest.filter(|_| has_blobs);
                self.content().write_blob(&id, &candidate.config)?;
                if let Some((digest, text)) = &manifest {
                    self.content().write_blob(digest, text)?;
                }
                let manifest = manifest.map(|(digest, _)| digest);
                let record = ImageRecord {
                    parent: candidate.parent,
                    manifest,
                    removed: candidate.hidden,
                    ..ImageRecord::default()
                };
                state.add(id, &candidate.document, candidate.config.into(), record);
                for name in &candidate.names {
                    let displaced = state.tag(name, id, now);
                    if let Some(manifest) = &manifest {
                        state.name_by_digest(name, manifest, id);
                    }
                    loaded.push(Loaded {
                        id: id.to_string(),
                        reference: Some(name.familiar()),
                        displaced: displaced.map(|displaced| displaced.to_string()),
                    });
                }
                if candidate.names.is_empty() {
                    loaded.push(Loaded {
                        id: id.to_string(),
                        reference: None,
                        displaced: None,
                    });
                }
            }
            Ok(loaded)
        })
    }
}

/// The images that an archive describes.
fn read_archive(reader: impl Read + Send, staging: &Staging) -> Result<Vec<Candidate>, LoadError> {
    let tar = BufReader::with_capacity(256 << 10, unpacked(reader).map_err(ArchiveError::from)?);
    let members = Members::spool(tar, staging)?;
    if members.has("manifest.json") {
        docker_archive::images(&members)
    } else if members.has("index.json") {
        oci_layout::images(&members)
    } else {
        Err(LoadError::NotImages)
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Archive(error.into())
    }
}

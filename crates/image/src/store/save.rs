//! Saving images: a Docker archive and an OCI layout in one tar stream, as Docker 25 and later
//! write it, for loaders old and new.
//!
//! Layers are written as they came, so that digests of blobs and manifests stay the same; only zstd
//! is taken off, which Docker before 23 cannot read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use oci_spec::image::{
    Descriptor, DescriptorBuilder, Digest as OciDigest, ImageIndexBuilder, ImageManifestBuilder,
    MediaType, SCHEMA_VERSION,
};
use serde::Serialize;
use serde_json::json;
use tokio::io::AsyncRead;

use super::index::{FoundBy, LayerRecord, State, Stored};
use super::{ContentError, LookupError, Store};
use crate::compression::Compression;
use crate::digest::Digest;
use crate::pipe;
use crate::reference::Reference;

/// Why images could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// No such image.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// There was no name.
    #[error("no image to save was named")]
    Nothing,
}

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Write(#[from] io::Error),
    #[error(transparent)]
    Document(#[from] serde_json::Error),
    #[error(transparent)]
    Oci(#[from] oci_spec::OciSpecError),
    #[error("image {0} is gone")]
    Gone(Digest),
}

/// Names to be saved, by image.
type Wanted = BTreeMap<Digest, BTreeSet<Reference>>;

impl Store {
    /// A tar stream of these images, as Docker archive and OCI layout in one.
    ///
    /// A name without tag or digest means all tags of its repository.
    ///
    /// # Errors
    /// When a name is unknown. What fails later ends the stream with an error.
    pub async fn save(
        &self,
        names: &[String],
    ) -> Result<impl AsyncRead + Send + Unpin + 'static + use<>, SaveError> {
        self.save_wanted(|state| {
            let mut wanted = Wanted::new();
            for name in names {
                add(state, name, &mut wanted)?;
            }
            if wanted.is_empty() {
                return Err(SaveError::Nothing);
            }
            Ok(wanted)
        })
    }

    /// As [`Store::save`], the image with exactly this id, listed or not, without names.
    ///
    /// # Errors
    /// When there is none.
    pub fn save_by_id(
        &self,
        id: &str,
    ) -> Result<impl AsyncRead + Send + Unpin + 'static + use<>, SaveError> {
        self.save_wanted(|state| Ok(Wanted::from([(state.digest_of(id)?, BTreeSet::new())])))
    }

    fn save_wanted(
        &self,
        find: impl FnOnce(&State) -> Result<Wanted, SaveError>,
    ) -> Result<pipe::AsyncReader, SaveError> {
        let mut wanted = Wanted::new();
        let (state, _, pins) = self.pin_images(|state| {
            wanted = find(state)?;
            Ok::<_, SaveError>(wanted.keys().copied().collect())
        })?;
        let (writer, reader) = pipe::outward();
        let store = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut archive = Archive {
                store,
                state,
                tar: tar::Builder::new(writer),
                written: BTreeSet::new(),
            };
            let outcome = archive.write(&wanted);
            drop(pins);
            if let Ok(writer) = archive.tar.into_inner() {
                writer.finish(outcome.map_err(io::Error::other));
            }
        });
        Ok(reader)
    }
}

/// Finds what a name means.
fn add(state: &State, text: &str, wanted: &mut Wanted) -> Result<(), LookupError> {
    if let Ok(repository) = Reference::parse(text)
        && repository.tag().is_none()
        && repository.digest().is_none()
    {
        let prefix = format!("{repository}:");
        let mut tags = state
            .index
            .tags
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .peekable();
        if tags.peek().is_some() {
            for (name, id) in tags {
                wanted
                    .entry(*id)
                    .or_default()
                    .extend(Reference::parse(name));
            }
            return Ok(());
        }
    }
    let (id, found_by) = state.find(text)?;
    let names = wanted.entry(id).or_default();
    if let FoundBy::Name(name) = found_by
        && name.digest().is_none()
    {
        names.insert(name);
    }
    Ok(())
}

/// One element of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Digest>,
}

/// The stream being written.
struct Archive {
    store: Store,
    state: std::sync::Arc<State>,
    tar: tar::Builder<pipe::BlockingWriter>,
    /// Blobs that are in it already: images share layers.
    written: BTreeSet<Digest>,
}

/// A blob of the archive.
struct Blob {
    digest: Digest,
    size_bytes: u64,
    media_type: MediaType,
}

impl Blob {
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest.hex())
    }

    fn descriptor(&self) -> Result<Descriptor, StreamError> {
        Ok(DescriptorBuilder::default()
            .media_type(self.media_type.clone())
            .digest(self.digest.to_string().parse::<OciDigest>()?)
            .size(self.size_bytes)
            .build()?)
    }
}

impl Archive {
    fn write(&mut self, wanted: &Wanted) -> Result<(), StreamError> {
        let state = std::sync::Arc::clone(&self.state);
        let mut items = Vec::new();
        let mut descriptors = Vec::new();
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (id, names) in wanted {
            let stored = state.images.get(id).ok_or(StreamError::Gone(*id))?;
            let config = Blob {
                digest: *id,
                size_bytes: stored.config.len() as u64,
                media_type: MediaType::ImageConfig,
            };
            self.add(&config, &stored.config)?;
            let mut layers = Vec::new();
            for diff_id in &stored.diff_ids {
                let record = state
                    .index
                    .layers
                    .get(diff_id)
                    .ok_or(StreamError::Gone(*id))?;
                layers.push(self.add_layer(diff_id, record)?);
            }
            let descriptor = self.add_manifest(id, stored, &config, &layers)?;
            let top = layers
                .last()
                .map(|layer| layer.digest.hex())
                .unwrap_or_default();
            for name in names {
                let tag = name.tag().unwrap_or_default();
                let annotations = [
                    ("io.containerd.image.name".to_owned(), name.to_string()),
                    (
                        "org.opencontainers.image.ref.name".to_owned(),
                        tag.to_owned(),
                    ),
                ];
                let mut named = descriptor.clone();
                named.set_annotations(Some(annotations.into()));
                descriptors.push(named);
                repositories
                    .entry(name.familiar_name())
                    .or_default()
                    .insert(tag.to_owned(), top.clone());
            }
            if names.is_empty() {
                descriptors.push(descriptor);
            }
            let parent = state.index.images.get(id).and_then(|record| record.parent);
            items.push(Item {
                config: config.path(),
                repo_tags: names.iter().map(Reference::familiar).collect(),
                layers: layers.iter().map(Blob::path).collect(),
                parent: parent.filter(|parent| wanted.contains_key(parent)),
            });
        }
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(descriptors)
            .build()?;
        // By way of a value, for the order of annotations is random in the type itself.
        let index = serde_json::to_value(&index)?;
        self.add_file("index.json", &serde_json::to_vec(&index)?)?;
        self.add_file("manifest.json", &serde_json::to_vec(&items)?)?;
        self.add_file(
            "oci-layout",
            &serde_json::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }))?,
        )?;
        if !repositories.is_empty() {
            self.add_file("repositories", &serde_json::to_vec(&repositories)?)?;
        }
        Ok(self.tar.finish()?)
    }

    /// The manifest it came with, as long as its layers are written as they came; else a new one.
    fn add_manifest(
        &mut self,
        id: &Digest,
        stored: &Stored,
        config: &Blob,
        layers: &[Blob],
    ) -> Result<Descriptor, StreamError> {
        let mut records = stored
            .diff_ids
            .iter()
            .filter_map(|diff_id| self.state.index.layers.get(diff_id));
        let as_they_came = records.all(|record| record.compression != Compression::Zstd);
        let kept = self
            .state
            .index
            .images
            .get(id)
            .and_then(|record| record.manifest);
        let (text, media_type) = match kept.filter(|_| as_they_came) {
            Some(manifest) => {
                let text = self.store.content().read_blob(&manifest)?;
                let known: MediaTypeOf = serde_json::from_slice(&text)?;
                (text, known.media_type.unwrap_or(MediaType::ImageManifest))
            }
            None => {
                let layers = layers
                    .iter()
                    .map(Blob::descriptor)
                    .collect::<Result<Vec<_>, _>>()?;
                let manifest = ImageManifestBuilder::default()
                    .schema_version(SCHEMA_VERSION)
                    .media_type(MediaType::ImageManifest)
                    .config(config.descriptor()?)
                    .layers(layers)
                    .build()?;
                (serde_json::to_vec(&manifest)?, MediaType::ImageManifest)
            }
        };
        let blob = Blob {
            digest: Digest::of(&text),
            size_bytes: text.len() as u64,
            media_type,
        };
        self.add(&blob, &text)?;
        blob.descriptor()
    }

    /// Writes the layer, unless it is in the archive already.
    fn add_layer(&mut self, diff_id: &Digest, record: &LayerRecord) -> Result<Blob, StreamError> {
        let (digest, size_bytes, media_type) = match record.compression {
            Compression::Plain => (record.blob, record.blob_bytes, MediaType::ImageLayer),
            Compression::Gzip => (record.blob, record.blob_bytes, MediaType::ImageLayerGzip),
            Compression::Zstd => (*diff_id, record.plain_bytes, MediaType::ImageLayer),
        };
        let blob = Blob {
            digest,
            size_bytes,
            media_type,
        };
        if self.written.insert(digest) {
            let file = self.store.content().open_blob(&record.blob)?;
            let stream: Box<dyn Read> = match record.compression {
                Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
                Compression::Plain | Compression::Gzip => Box::new(file),
            };
            self.append(&blob.path(), size_bytes, stream)?;
        }
        Ok(blob)
    }

    fn add(&mut self, blob: &Blob, content: &[u8]) -> Result<(), StreamError> {
        if self.written.insert(blob.digest) {
            self.append(&blob.path(), blob.size_bytes, content)?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: &str, content: &[u8]) -> Result<(), StreamError> {
        self.append(path, content.len() as u64, content)
    }

    /// Times are zero, so that the same images make the same archive.
    fn append(
        &mut self,
        path: &str,
        size_bytes: u64,
        content: impl Read,
    ) -> Result<(), StreamError> {
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_mode(0o644);
        header.set_size(size_bytes);
        header.set_cksum();
        // A blob that is shorter than its record would shift everything after it.
        let mut counted = Counted {
            input: content.take(size_bytes),
            read: 0,
        };
        self.tar.append(&header, &mut counted)?;
        if counted.read < size_bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

/// Media type of a manifest, in itself.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaTypeOf {
    media_type: Option<MediaType>,
}

struct Counted<R> {
    input: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.read += length as u64;
        Ok(length)
    }
}

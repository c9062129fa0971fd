//! The content store of one node: what is in it, and how it changes.
//!
//! Readers take a snapshot and cost no disk. Changes are made one at a time: to a copy of the
//! state, then to the index on disk, and only then do readers see them. The verbs are in the
//! modules below, one each.

pub(crate) mod arrival;
pub(crate) mod cache;
pub(crate) mod commit;
mod content;
mod early;
pub(crate) mod file;
pub(crate) mod held;
pub(crate) mod import;
mod index;
pub(crate) mod layers;
pub(crate) mod load;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod save;
pub(crate) mod shelf;
pub(crate) mod step;
pub(crate) mod tag;
pub(crate) mod transfer;
pub(crate) mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use model::image::Image;

use commit::CommitError;
pub use content::ContentError;
use content::{Content, Leftover};
use index::{Index, State};

use crate::config::ConfigDocument;
use crate::digest::Digest;
use crate::reference::ReferenceError;

/// The images of one node; clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Content,
    /// Replaced as a whole.
    state: RwLock<Arc<State>>,
    changing: Mutex<Changing>,
    /// A layer was unpacked, or its unpacking failed.
    layer_settled: Condvar,
    transfers: transfer::Transfers,
    shelf: shelf::Shelf,
}

/// What only changes look at.
#[derive(Debug, Default)]
struct Changing {
    /// How many operations under way rely on a layer (by diff id) that perhaps no image has yet.
    pins: BTreeMap<Digest, usize>,
    /// Layers that somebody is unpacking.
    unpacking: BTreeSet<Digest>,
    /// How many operations under way rely on an image or a file that nothing may need yet.
    held: BTreeMap<Digest, usize>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("image store {} is in use by another process", path.display())]
    Locked {
        /// Its directory.
        path: PathBuf,
    },
    /// A file or directory of it.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Its index is not readable.
    #[error("image index {} is damaged", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why it does not parse.
        source: serde_json::Error,
    },
    /// Its index is of a newer program.
    #[error("image index {} has version {version}; this program reads {}", path.display(), index::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// Why no image is found by a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No image has this name or id.
    #[error("No such image: {reference}")]
    NotFound {
        /// As asked for; with `:latest` where no tag was given.
        reference: String,
    },
    /// Several ids begin so.
    #[error("image id prefix {reference} is ambiguous")]
    Ambiguous {
        /// As asked for.
        reference: String,
    },
    /// Not a reference.
    #[error("{reason}")]
    InvalidReference {
        /// As asked for.
        reference: String,
        /// What is wrong with it.
        reason: ReferenceError,
    },
}

impl Store {
    /// Opens, or makes, the store in `dir`, and clears away what a killed process left half-made.
    ///
    /// # Errors
    /// When another process has it open, or its files cannot be read.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let content = Content::open(dir)?.ok_or_else(|| OpenError::Locked {
            path: dir.to_owned(),
        })?;
        let state = read_state(&content)?;
        let (layers, blobs) = (state.needed_layers(), state.needed_blobs());
        content.sweep(|layer| layers.contains(layer), |blob| blobs.contains(blob))?;
        let inner = Inner {
            content,
            state: RwLock::new(Arc::new(state)),
            changing: Mutex::default(),
            layer_settled: Condvar::new(),
            transfers: transfer::Transfers::default(),
            shelf: shelf::Shelf::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// All images, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.state().listed.clone()
    }

    /// The image of this name (`busybox`, `busybox:1.36`, `name@sha256:...`), id or id prefix.
    ///
    /// # Errors
    /// When there is none, or the text is not a reference.
    pub fn get(&self, reference: &str) -> Result<Arc<Image>, LookupError> {
        let state = self.state();
        let (id, _) = state.find(reference)?;
        Ok(Arc::clone(&state.by_id(&id.to_string())?.image))
    }

    /// The image with exactly this id (`sha256:...`), be it listed or only kept for who uses it.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_id(&self, id: &str) -> Result<Arc<Image>, LookupError> {
        Ok(Arc::clone(&self.state().by_id(id)?.image))
    }

    /// Directories of the unpacked layers of the image with this id (`sha256:...`), the topmost first.
    ///
    /// A layer that is there twice is listed once, as the upper one: it hides all of the lower one, and
    /// an overlay takes no directory twice.
    ///
    /// Also answers for an image that was removed by force while a container used it.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn layers(&self, id: &str) -> Result<Vec<PathBuf>, LookupError> {
        let state = self.state();
        let diff_ids = &state.by_id(id)?.diff_ids;
        let mut seen = BTreeSet::new();
        Ok(diff_ids
            .iter()
            .rev()
            .filter(|diff_id| seen.insert(**diff_id))
            .map(|diff_id| self.inner.content.layer_path(diff_id))
            .collect())
    }

    /// The image's configuration document, byte for byte; its SHA-256 is the id.
    ///
    /// # Errors
    /// When there is no image with this id.
    pub fn config_json(&self, id: &str) -> Result<Bytes, LookupError> {
        Ok(self.state().by_id(id)?.config.clone())
    }

    fn content(&self) -> &Content {
        &self.inner.content
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(
            &self
                .inner
                .state
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.inner
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: State) {
        *self
            .inner
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    /// Makes a change: to a copy, to the disk, then for all to see; and frees what nobody needs now.
    fn change<T, E: From<ContentError>>(
        &self,
        apply: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        self.change_seeing(|state, _| apply(state))
    }

    /// As [`Store::change`], for changes that depend on what is under way.
    fn change_seeing<T, E: From<ContentError>>(
        &self,
        apply: impl FnOnce(&mut State, &Changing) -> Result<T, E>,
    ) -> Result<T, E> {
        let changing = self.changing();
        let before = self.state();
        let mut state = State::clone(&before);
        let answer = apply(&mut state, &changing)?;
        state.settle();
        changing.drop_unneeded(&mut state);
        let path = self.content().index_path();
        let text = serde_json::to_vec(&state.index)
            .map_err(|error| content::failed("write", &path)(error.into()))?;
        self.content().replace(&path, &text)?;
        let gone = self.discard_difference(&before, &state);
        self.publish(state);
        drop(changing);
        drop(gone);
        Ok(answer)
    }

    /// Frees layers that no image has and no operation relies on.
    ///
    /// The index on disk may still list them; without an image they do not count there.
    fn free_unneeded(&self) {
        let changing = self.changing();
        let before = self.state();
        let mut state = State::clone(&before);
        changing.drop_unneeded(&mut state);
        let gone = self.discard_difference(&before, &state);
        self.publish(state);
        drop(changing);
        drop(gone);
    }

    /// Takes the layers and blobs away that only `before` needed; they are freed with the answer.
    fn discard_difference(&self, before: &State, after: &State) -> Vec<Leftover> {
        let (blobs, needed) = (before.needed_blobs(), after.needed_blobs());
        let blobs = blobs
            .difference(&needed)
            .map(|blob| self.content().blob_path(blob));
        let layers = before
            .index
            .layers
            .keys()
            .filter(|layer| !after.index.layers.contains_key(layer));
        let layers = layers.map(|layer| self.content().layer_path(layer));
        layers
            .chain(blobs)
            .filter_map(|path| self.content().discard(&path))
            .collect()
    }
}

impl Changing {
    fn drop_unneeded(&self, state: &mut State) {
        let needed = state.needed_layers();
        state
            .index
            .layers
            .retain(|layer, _| needed.contains(layer) || self.pins.contains_key(layer));
        let layers = &state.index.layers;
        state
            .index
            .pushed_as
            .retain(|layer, _| layers.contains_key(layer));
    }
}

/// Reads the index and the configurations; images that lost something are left out.
fn read_state(content: &Content) -> Result<State, OpenError> {
    let path = content.index_path();
    let index = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice::<Index>(&text).map_err(|source| OpenError::Index {
            path: path.clone(),
            source,
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Index::default(),
        Err(error) => return Err(content::failed("read", &path)(error).into()),
    };
    if index.version != index::VERSION {
        return Err(OpenError::Version {
            path,
            version: index.version,
        });
    }
    let mut state = State {
        index,
        ..State::default()
    };
    let ids: Vec<Digest> = state.index.images.keys().copied().collect();
    for id in ids {
        match read_config(content, &id, &state.index) {
            Some((document, config)) => state.remember(id, &document, config),
            None => {
                tracing::error!(image = %id, "image store: a file of the image is lost or damaged; it is left out");
                state.forget(&id);
            }
        }
    }
    let needed = state.needed_layers();
    state.index.layers.retain(|layer, _| needed.contains(layer));
    state.settle();
    Ok(state)
}

fn read_config(content: &Content, id: &Digest, index: &Index) -> Option<(ConfigDocument, Bytes)> {
    let config = content
        .read_blob(id)
        .ok()
        .filter(|config| Digest::of(config) == *id)?;
    let document: ConfigDocument = serde_json::from_slice(&config).ok()?;
    let is_here =
        |layer: &Digest| index.layers.contains_key(layer) && content.layer_path(layer).is_dir();
    document
        .rootfs
        .diff_ids
        .iter()
        .all(is_here)
        .then_some((document, config.into()))
}

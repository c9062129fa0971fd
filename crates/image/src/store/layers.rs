//! Getting layers into the store: each is unpacked by one operation, and others wait for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::content::{Staging, failed};
use super::index::{LayerRecord, State};
use super::{ContentError, Store};
use crate::compression::InflateError;
use crate::digest::Digest;
use crate::layer::{Spooled, sniff, unpack_blob};
use crate::unpack::UnpackError;

/// A layer as it came, in a staging directory.
#[derive(Clone, Debug)]
pub(crate) struct StagedBlob {
    pub(crate) path: PathBuf,
    pub(crate) spooled: Spooled,
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Its tar, or a path in it.
    #[error("unpack layer {layer}{}", hint(source))]
    Unpack {
        /// Digest it should have unpacked, or of the blob where that is not known.
        layer: String,
        /// What is wrong.
        source: UnpackError,
    },
    /// How it is compressed.
    #[error("read layer {layer}")]
    Compression {
        /// As above.
        layer: String,
        /// What is wrong.
        source: crate::compression::UnsupportedCompression,
    },
    /// It is not the layer that the configuration names.
    #[error("layer {expected} has content {found}")]
    Digest {
        /// The diff id in the configuration.
        expected: String,
        /// The digest of what it unpacked to.
        found: String,
    },
    /// It is neither in the archive nor in the store.
    #[error("layer {layer} is missing")]
    Missing {
        /// The diff id in the configuration.
        layer: String,
    },
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl LayerError {
    /// The host's disk is full or fails, rather than that something is wrong with the layer.
    pub(crate) fn is_hosts(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Unpack { source, .. } => source.is_hosts(),
            Self::Compression { .. } | Self::Digest { .. } | Self::Missing { .. } => false,
        }
    }
}

/// A full disk is worth saying before the path that it happened at.
fn hint(error: &UnpackError) -> &'static str {
    if error.is_full_disk() {
        ": the disk is full"
    } else {
        ""
    }
}

/// Layers that stay, even though no image may have them yet, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pins {
    store: Store,
    layers: Vec<Digest>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut changing = self.store.changing();
        for layer in &self.layers {
            if let Some(count) = changing.pins.get_mut(layer) {
                *count -= 1;
                if *count == 0 {
                    changing.pins.remove(layer);
                }
            }
        }
        drop(changing);
        // Where the operation failed, what it brought is freed.
        self.store.free_unneeded();
    }
}

/// Somebody unpacking a layer; others are told when this is dropped.
struct Unpacking<'a> {
    store: &'a Store,
    layer: Digest,
}

impl Drop for Unpacking<'_> {
    fn drop(&mut self) {
        self.store.changing().unpacking.remove(&self.layer);
        self.store.inner.layer_settled.notify_all();
    }
}

impl Store {
    /// Sees to it that all these layers (by diff id) are in the store; those that are not are
    /// unpacked from their blob, several at once.
    pub(crate) fn ensure_layers(
        &self,
        layers: &BTreeMap<Digest, Option<StagedBlob>>,
        staging: &Staging,
        progress: &(dyn Fn(&Digest, u64, u64) + Sync),
    ) -> Result<Pins, LayerError> {
        let pins = std::sync::Mutex::new(Pins {
            store: self.clone(),
            layers: Vec::new(),
        });
        let jobs: Vec<_> = layers.iter().collect();
        let next = AtomicUsize::new(0);
        let has_failed = AtomicBool::new(false);
        let work = || {
            while !has_failed.load(Ordering::Relaxed)
                && let Some((diff_id, blob)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let ensured = self.ensure_layer(diff_id, blob.as_ref(), staging, progress);
                has_failed.fetch_or(ensured.is_err(), Ordering::Relaxed);
                ensured?;
                pins.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .layers
                    .push(**diff_id);
            }
            Ok(())
        };
        let workers = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(jobs.len());
        let outcome: Result<(), LayerError> = thread::scope(|scope| {
            let spawned: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let own = work();
            #[expect(clippy::expect_used, reason = "a panic of a worker is passed on")]
            let others = spawned
                .into_iter()
                .map(|worker| worker.join().expect("unpack"));
            others.fold(own, Result::and)
        });
        let pins = pins.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.map(|()| pins)
    }

    /// Keeps the layers of images, and so their blobs, as long as the answer lives.
    ///
    /// Answers the state that has them.
    pub(crate) fn pin_images<E>(
        &self,
        find: impl FnOnce(&State) -> Result<Vec<Digest>, E>,
    ) -> Result<(std::sync::Arc<State>, Vec<Digest>, Pins), E> {
        let mut changing = self.changing();
        let state = self.state();
        let ids = find(&state)?;
        let stored = ids.iter().filter_map(|id| state.images.get(id));
        let layers: Vec<Digest> = stored
            .flat_map(|stored| stored.diff_ids.iter().copied())
            .collect();
        for layer in &layers {
            *changing.pins.entry(*layer).or_default() += 1;
        }
        drop(changing);
        Ok((
            state,
            ids,
            Pins {
                store: self.clone(),
                layers,
            },
        ))
    }

    /// Pins the layer, which is there afterwards.
    fn ensure_layer(
        &self,
        diff_id: &Digest,
        blob: Option<&StagedBlob>,
        staging: &Staging,
        progress: &(dyn Fn(&Digest, u64, u64) + Sync),
    ) -> Result<(), LayerError> {
        let mut changing = self.changing();
        loop {
            if self.state().index.layers.contains_key(diff_id) {
                *changing.pins.entry(*diff_id).or_default() += 1;
                return Ok(());
            }
            if changing.unpacking.insert(*diff_id) {
                break;
            }
            changing = self
                .inner
                .layer_settled
                .wait(changing)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(changing);
        let _unpacking = Unpacking {
            store: self,
            layer: *diff_id,
        };
        let blob = blob.ok_or_else(|| LayerError::Missing {
            layer: diff_id.to_string(),
        })?;
        let total = blob.spooled.size_bytes;
        let report = |current| progress(diff_id, current, total);
        let (dir, record, found) = self.unpack(blob, &diff_id.hex(), staging, &report)?;
        if found != *diff_id {
            return Err(LayerError::Digest {
                expected: diff_id.to_string(),
                found: found.to_string(),
            });
        }
        self.adopt_layer(*diff_id, &dir, blob, record, staging)
    }

    /// Unpacks a blob into a new directory `name` in `staging`.
    pub(crate) fn unpack(
        &self,
        blob: &StagedBlob,
        name: &str,
        staging: &Staging,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(PathBuf, LayerRecord, Digest), LayerError> {
        let layer = || blob.spooled.digest.to_string();
        let file = File::open(&blob.path).map_err(failed("open", &blob.path))?;
        let compression = sniff(&file).map_err(|error| match error {
            InflateError::Unsupported(source) => LayerError::Compression {
                layer: layer(),
                source,
            },
            InflateError::Read(source) => failed("read", &blob.path)(source).into(),
        })?;
        let dir = staging.create_dir(name)?;
        let unpacked =
            unpack_blob(&file, compression, blob.spooled, &dir, progress).map_err(|source| {
                LayerError::Unpack {
                    layer: layer(),
                    source,
                }
            })?;
        let record = LayerRecord {
            blob: blob.spooled.digest,
            blob_bytes: blob.spooled.size_bytes,
            compression,
            plain_bytes: unpacked.plain_bytes,
            size_bytes: unpacked.size_bytes,
        };
        Ok((dir, record, unpacked.diff_id))
    }

    /// Moves an unpacked layer and its blob from `staging` into place and pins it.
    ///
    /// It counts from now on for those who wait for it, and on disk with the first image that has it,
    /// which may be another's: so it is flushed first.
    fn adopt_layer(
        &self,
        diff_id: Digest,
        dir: &Path,
        blob: &StagedBlob,
        record: LayerRecord,
        staging: &Staging,
    ) -> Result<(), LayerError> {
        staging.flush()?;
        let mut changing = self.changing();
        self.content().adopt_blob(&blob.path, &record.blob)?;
        self.content()
            .adopt(dir, &self.content().layer_path(&diff_id))?;
        let mut state = State::clone(&self.state());
        state.index.layers.insert(diff_id, record);
        self.publish(state);
        *changing.pins.entry(diff_id).or_default() += 1;
        Ok(())
    }

    /// As [`Store::ensure_layers`], for one layer whose diff id is not known before.
    pub(crate) fn add_layer(
        &self,
        blob: &StagedBlob,
        staging: &Staging,
    ) -> Result<(Digest, Pins), LayerError> {
        let (dir, record, diff_id) = self.unpack(blob, "layer", staging, &|_| {})?;
        Ok((
            diff_id,
            self.settle_layer(diff_id, &dir, blob, record, staging)?,
        ))
    }

    /// Pins a layer where it is there.
    pub(crate) fn pin_layer(&self, diff_id: Digest) -> Option<Pins> {
        let mut changing = self.changing();
        if !self.state().index.layers.contains_key(&diff_id) {
            return None;
        }
        *changing.pins.entry(diff_id).or_default() += 1;
        Some(Pins {
            store: self.clone(),
            layers: vec![diff_id],
        })
    }

    /// Takes an unpacked layer, unless somebody else has brought the same one by now, and pins it.
    pub(crate) fn settle_layer(
        &self,
        diff_id: Digest,
        dir: &Path,
        blob: &StagedBlob,
        record: LayerRecord,
        staging: &Staging,
    ) -> Result<Pins, LayerError> {
        let mut changing = self.changing();
        while changing.unpacking.contains(&diff_id) {
            changing = self
                .inner
                .layer_settled
                .wait(changing)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let is_here = self.state().index.layers.contains_key(&diff_id);
        if is_here {
            *changing.pins.entry(diff_id).or_default() += 1;
            drop(changing);
        } else {
            changing.unpacking.insert(diff_id);
            drop(changing);
            let _unpacking = Unpacking {
                store: self,
                layer: diff_id,
            };
            self.adopt_layer(diff_id, dir, blob, record, staging)?;
        }
        Ok(Pins {
            store: self.clone(),
            layers: vec![diff_id],
        })
    }
}

//! Steps of builds: what an instruction makes of an image is an image of its own, found again by a
//! key when the same is built once more.
//!
//! A step's image is not listed until it is [listed](Store::list_step); until then, and after it
//! was removed, it stays for the sake of the next build, until [`Store::prune_steps`] takes it away.
//! What goes into a key is the builder's business.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use model::image::{Defaults, Image};
use oci_spec::image::Arch;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use super::content::{Staging, failed};
use super::held::Held;
use super::index::{ImageRecord, State};
use super::layers::{Pins, StagedBlob};
use super::remove::InUse;
use super::tag::{TagError, parse_target};
use super::{CommitError, ContentError, Store};
use crate::clamp::Clamped;
use crate::config::{ConfigDocument, HistoryDocument, RootDocument, RunDocument};
use crate::digest::Digest;
use crate::layer::{SpoolError, spool};
use crate::pipe;
use crate::reference::Reference;

/// A tar of what a step changed, with whiteouts.
pub type StepLayer = Box<dyn AsyncRead + Unpin + Send>;

/// What a step makes.
#[derive(Clone, Debug, Default)]
pub struct StepOptions {
    /// Id of the image below: `sha256:...`; `None` begins from nothing.
    pub parent: Option<String>,
    /// When it is said to be made.
    pub created_at: Timestamp,
    /// No file of its layer is said to be younger.
    pub latest_mtime: Option<i64>,
    /// The instruction, for the history.
    pub created_by: String,
    /// Who made it.
    pub author: String,
    /// A remark, for the history.
    pub comment: String,
    /// What containers start with.
    pub defaults: Defaults,
    /// What it is found by: hexadecimal digits of a SHA-256.
    pub key: String,
}

/// `index.json`'s part on a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    pub(crate) image: Digest,
    pub(crate) created_by: String,
    pub(crate) made_at: Timestamp,
    pub(crate) used_at: Timestamp,
    pub(crate) uses: u64,
}

/// A step that is kept for the next build.
#[derive(Clone, Debug)]
pub struct CachedStep {
    /// What it is found by.
    pub key: String,
    /// Id of its image.
    pub image: String,
    /// The instruction.
    pub created_by: String,
    /// Bytes of the layer that it added.
    pub size_bytes: u64,
    /// When it was kept.
    pub made_at: Timestamp,
    /// When a build last used it.
    pub used_at: Timestamp,
    /// How often that was.
    pub uses: u64,
    /// A listed image has its layer, too: removing the step frees nothing.
    pub is_shared: bool,
}

/// A directory for what is only needed for a while; gone, with what is in it, when dropped.
#[derive(Debug)]
pub struct Scratch {
    staging: Staging,
}

impl Scratch {
    /// A new directory in it. Names are the caller's, and used once.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn create_dir(&self, name: &str) -> Result<std::path::PathBuf, ContentError> {
        self.staging.create_dir(name)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staging.path()
    }
}

impl Store {
    /// A directory for what is only needed for a while. What a killed process leaves of it is freed
    /// when the store is opened again.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn scratch(&self) -> Result<Scratch, ContentError> {
        let staging = self.content().staging()?;
        Ok(Scratch { staging })
    }

    /// Makes the image of a step, with a layer where it changed files, and keeps it.
    ///
    /// # Errors
    /// When the image below is gone, the stream breaks, or the disk is full; nothing stays then.
    pub async fn add_step(
        &self,
        layer: Option<StepLayer>,
        options: StepOptions,
    ) -> Result<(Arc<Image>, Held), CommitError> {
        let store = self.clone();
        match layer {
            Some(layer) => {
                pipe::feed_blocking(layer, move |reader| {
                    store.add_step_blocking(Some(reader), &options)
                })
                .await
            }
            None => {
                let work = move || store.add_step_blocking(None::<std::io::Empty>, &options);
                match tokio::task::spawn_blocking(work).await {
                    Ok(answer) => answer,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }

    fn add_step_blocking(
        &self,
        layer: Option<impl BufRead>,
        options: &StepOptions,
    ) -> Result<(Arc<Image>, Held), CommitError> {
        // The layers below stay while the one above is unpacked.
        let (state, _, _pins) = self.pin_images(|state| match &options.parent {
            Some(parent) => Ok(vec![state.digest_of(parent)?]),
            None => Ok::<_, CommitError>(Vec::new()),
        })?;
        let mut document = match &options.parent {
            Some(parent) => {
                serde_json::from_slice(&state.by_id(parent)?.config).map_err(|source| {
                    CommitError::Configuration {
                        parent: parent.clone(),
                        source,
                    }
                })?
            }
            None => of_nothing(),
        };
        let staging = self.content().staging()?;
        let added = match layer {
            Some(layer) => Some(self.step_layer(layer, options, &staging)?),
            None => None,
        };
        let created_at = options.created_at.to_string();
        document.created = Some(created_at.clone());
        document.author.clone_from(&options.author);
        document.comment.clear();
        document.config = RunDocument::from_model(&options.defaults);
        document.history.push(HistoryDocument {
            created: Some(created_at),
            created_by: options.created_by.clone(),
            author: options.author.clone(),
            comment: options.comment.clone(),
            empty_layer: added.is_none(),
        });
        if let Some((diff_id, _)) = &added {
            document.rootfs.diff_ids.push(*diff_id);
            self.content().flush_names()?;
        }
        self.keep_step(&document, options)
    }

    /// Unpacks the layer of a step; it stays as long as the second part of the answer lives.
    fn step_layer(
        &self,
        layer: impl BufRead,
        options: &StepOptions,
        staging: &Staging,
    ) -> Result<(Digest, Pins), CommitError> {
        let (file, path) = staging.create("layer.tar")?;
        let spooled = match options.latest_mtime {
            Some(latest) => spool(BufReader::new(Clamped::new(layer, latest)), &file),
            None => spool(layer, &file),
        };
        let spooled = spooled.map_err(|error| match error {
            SpoolError::Read(error) => CommitError::Read(error),
            SpoolError::Write(error) => failed("write", &path)(error).into(),
        })?;
        Ok(self.add_layer(&StagedBlob { path, spooled }, staging)?)
    }

    fn keep_step(
        &self,
        document: &ConfigDocument,
        options: &StepOptions,
    ) -> Result<(Arc<Image>, Held), CommitError> {
        let index = self.content().index_path();
        let config =
            serde_json::to_vec(document).map_err(|error| failed("write", &index)(error.into()))?;
        let id = Digest::of(&config);
        let held = self.hold(id);
        let now = Timestamp::now();
        let step = StepRecord {
            image: id,
            created_by: options.created_by.clone(),
            made_at: now,
            used_at: now,
            uses: 0,
        };
        let record = ImageRecord {
            removed: true,
            ..ImageRecord::default()
        };
        self.change(|state| {
            self.content().write_blob(&id, &config)?;
            state.add(id, document, config.into(), record);
            if let Some(key) = Digest::from_hex(&options.key) {
                state.index.steps.insert(key, step);
            }
            Ok::<_, CommitError>(())
        })?;
        let state = self.state();
        let image = state.images.get(&id).map_or_else(
            || Arc::new(document.to_image(id, &[])),
            |stored| Arc::clone(&stored.image),
        );
        Ok((image, held))
    }

    /// The image of the step with this key, if it is kept.
    #[must_use]
    pub fn step(&self, key: &str) -> Option<(Arc<Image>, Held)> {
        let key = Digest::from_hex(key)?;
        let id = self.state().index.steps.get(&key)?.image;
        let held = self.hold(id);
        // It may have been taken away before it was held.
        let image = Arc::clone(&self.state().images.get(&id)?.image);
        Some((image, held))
    }

    /// Holds the image with exactly this id, so that it stays while something is made of it.
    pub fn hold_image(&self, id: &str) -> Option<Held> {
        Some(self.hold(id.parse().ok()?))
    }

    /// Lists an image by names, all or none, and notes which steps were used to make it. Waits for
    /// the disk, unless it is listed so already.
    ///
    /// # Errors
    /// When it is gone, a name is not one, or the index cannot be written.
    pub fn list_step(&self, id: &str, names: &[String], used: &[String]) -> Result<(), TagError> {
        let names = names
            .iter()
            .map(|name| parse_target(name))
            .collect::<Result<Vec<_>, _>>()?;
        let used: BTreeSet<Digest> = used
            .iter()
            .filter_map(|key| Digest::from_hex(key))
            .collect();
        let now = Timestamp::now();
        let note_used = |state: &mut State| {
            for key in &used {
                if let Some(step) = state.index.steps.get_mut(key) {
                    step.used_at = now;
                    step.uses += 1;
                }
            }
        };
        let changing = self.changing();
        let mut state = State::clone(&self.state());
        let digest = state.digest_of(id)?;
        let is_named = |name: &Reference| state.index.tags.get(&name.to_string()) == Some(&digest);
        if !state.is_hidden(&digest) && names.iter().all(is_named) {
            // Nothing is new but when steps were used: that waits for the next write.
            note_used(&mut state);
            self.publish(state);
            return Ok(());
        }
        drop(changing);
        self.change(|state| {
            let id = state.digest_of(id)?;
            if let Some(record) = state.index.images.get_mut(&id) {
                record.removed = false;
            }
            for name in &names {
                state.tag(name, id, now);
            }
            note_used(state);
            Ok(())
        })
    }

    /// Every step that is kept, the one used longest ago first.
    #[must_use]
    pub fn steps(&self) -> Vec<CachedStep> {
        let state = self.state();
        let shared: BTreeSet<Digest> = state
            .images
            .iter()
            .filter(|(id, _)| !state.is_hidden(id))
            .flat_map(|(_, stored)| stored.diff_ids.iter().copied())
            .collect();
        let mut steps: Vec<CachedStep> = state
            .index
            .steps
            .iter()
            .filter_map(|(key, step)| {
                let stored = state.images.get(&step.image)?;
                let last = stored.image.history.last();
                let layer = stored
                    .diff_ids
                    .last()
                    .filter(|_| last.is_some_and(|last| !last.empty_layer));
                Some(CachedStep {
                    key: key.hex(),
                    image: step.image.to_string(),
                    created_by: step.created_by.clone(),
                    size_bytes: last.map_or(0, |last| last.size_bytes),
                    made_at: step.made_at,
                    used_at: step.used_at,
                    uses: step.uses,
                    is_shared: layer.is_none_or(|layer| shared.contains(layer)),
                })
            })
            .collect();
        steps.sort_by(|one, other| (one.used_at, &one.key).cmp(&(other.used_at, &other.key)));
        steps
    }

    /// Takes steps away; answers the bytes that this freed. Images that are listed or in use stay.
    /// Waits for the disk.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn prune_steps(
        &self,
        keys: &[String],
        in_use: &dyn Fn() -> InUse,
    ) -> Result<u64, ContentError> {
        let before = self.layer_bytes();
        self.change_seeing(|state, changing| {
            let mut images = BTreeSet::new();
            for key in keys.iter().filter_map(|key| Digest::from_hex(key)) {
                images.extend(state.index.steps.remove(&key).map(|step| step.image));
            }
            let in_use = in_use();
            for id in images {
                let is_needed = changing.held.contains_key(&id)
                    || state.is_step(&id)
                    || !state.is_hidden(&id)
                    || in_use.images.contains(&id.to_string());
                if !is_needed {
                    state.forget(&id);
                }
            }
            Ok::<_, ContentError>(())
        })?;
        Ok(before.saturating_sub(self.layer_bytes()))
    }

    fn layer_bytes(&self) -> u64 {
        let state = self.state();
        let sizes = state.index.layers.values().map(|layer| layer.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

impl State {
    /// The image is kept as a step of builds.
    pub(crate) fn is_step(&self, id: &Digest) -> bool {
        self.index.steps.values().any(|step| step.image == *id)
    }
}

/// The configuration of `FROM scratch`.
pub(super) fn of_nothing() -> ConfigDocument {
    ConfigDocument {
        architecture: Arch::default().to_string(),
        os: "linux".to_owned(),
        rootfs: RootDocument {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        },
        ..ConfigDocument::default()
    }
}

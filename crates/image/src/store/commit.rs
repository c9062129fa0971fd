//! Committing: a further layer on an image becomes an image of its own.
//!
//! The layer comes as a tar with whiteouts, as the engine packs a writable layer.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use jiff::Timestamp;
use model::image::{Defaults, Image};
use tokio::io::AsyncRead;

use super::content::failed;
use super::held::Held;
use super::index::ImageRecord;
use super::layers::{LayerError, StagedBlob};
use super::step::of_nothing;
use super::tag::{TargetError, parse_target};
use super::{ContentError, LookupError, Store};
use crate::config::{HistoryDocument, RunDocument};
use crate::digest::Digest;
use crate::layer::{SpoolError, spool};
use crate::pipe;

/// What a committed image is to be.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// Id of the image below the layer: `sha256:...`; it may have been removed, but be in use. Empty
    /// where the layer is a whole root file system.
    pub parent: String,
    /// The name it gets: `name[:tag]`.
    pub reference: Option<String>,
    /// Who made it.
    pub author: String,
    /// A remark.
    pub message: String,
    /// The command that made the layer, for the history.
    pub created_by: String,
    /// What containers start with.
    pub defaults: Defaults,
    /// It is not to be listed: it stays only for who uses it.
    pub hidden: bool,
}

/// Why a layer was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The new name is not one.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The image below is not here.
    #[error(transparent)]
    Parent(#[from] LookupError),
    /// Its configuration cannot be read.
    #[error("read the configuration of {parent}")]
    Configuration {
        /// The image below.
        parent: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The stream failed.
    #[error("read the layer")]
    Read(#[source] std::io::Error),
    /// Its tar.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Store {
    /// Makes an image of another one and a tar of what is different on top of it. It stays as long
    /// as what holds it lives.
    ///
    /// # Errors
    /// When the name is wrong, the image below is gone, the stream breaks, or the disk is full.
    pub async fn commit(
        &self,
        tar: impl AsyncRead + Unpin + Send + 'static,
        options: CommitOptions,
    ) -> Result<(Arc<Image>, Held), CommitError> {
        let store = self.clone();
        pipe::feed_blocking(tar, move |reader| store.commit_blocking(reader, &options)).await
    }

    fn commit_blocking(
        &self,
        reader: impl BufRead,
        options: &CommitOptions,
    ) -> Result<(Arc<Image>, Held), CommitError> {
        let name = options.reference.as_deref().map(parse_target).transpose()?;
        // The layers below stay while the one above is unpacked.
        let (state, parents, _pins) = self.pin_images(|state| {
            if options.parent.is_empty() {
                return Ok(Vec::new());
            }
            let found = state.by_id(&options.parent)?;
            Ok::<_, LookupError>(found.image.id.parse().into_iter().collect())
        })?;
        let mut document = match options.parent.as_str() {
            "" => of_nothing(),
            parent => serde_json::from_slice(&state.by_id(parent)?.config).map_err(|source| {
                CommitError::Configuration {
                    parent: parent.to_owned(),
                    source,
                }
            })?,
        };
        let staging = self.content().staging()?;
        let (file, path) = staging.create("layer.tar")?;
        let spooled = spool(BufReader::new(reader), &file).map_err(|error| match error {
            SpoolError::Read(error) => CommitError::Read(error),
            SpoolError::Write(error) => failed("write", &path)(error).into(),
        })?;
        let (diff_id, _layer_pins) = self.add_layer(&StagedBlob { path, spooled }, &staging)?;
        let now = Timestamp::now();
        document.created = Some(now.to_string());
        document.author.clone_from(&options.author);
        document.comment.clone_from(&options.message);
        document.config = RunDocument::from_model(&options.defaults);
        document.rootfs.diff_ids.push(diff_id);
        document.history.push(HistoryDocument {
            created: Some(now.to_string()),
            created_by: options.created_by.clone(),
            author: options.author.clone(),
            comment: options.message.clone(),
            ..HistoryDocument::default()
        });
        drop(staging);
        self.content().flush_names()?;
        let index = self.content().index_path();
        let config =
            serde_json::to_vec(&document).map_err(|error| failed("write", &index)(error.into()))?;
        let id = Digest::of(&config);
        let record = ImageRecord {
            parent: parents.first().copied(),
            removed: options.hidden,
            ..ImageRecord::default()
        };
        let held = self.hold(id);
        self.change(|state| {
            self.content().write_blob(&id, &config)?;
            state.add(id, &document, config.into(), record);
            if let Some(name) = &name {
                state.tag(name, id, now);
            }
            Ok::<_, CommitError>(())
        })?;
        let state = self.state();
        // Somebody may have removed it by now; it was committed all the same.
        let image = state.images.get(&id).map_or_else(
            || Arc::new(document.to_image(id, &[])),
            |stored| Arc::clone(&stored.image),
        );
        Ok((image, held))
    }
}

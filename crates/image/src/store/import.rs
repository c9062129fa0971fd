//! Importing root file systems: a tar becomes an image of one layer.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use jiff::Timestamp;
use model::image::{Defaults, Image};
use tokio::io::AsyncRead;

use super::content::{Staging, failed};
use super::file::KeptFile;
use super::held::Held;
use super::index::ImageRecord;
use super::layers::{LayerError, StagedBlob};
use super::tag::{TargetError, parse_target};
use super::{ContentError, Store};
use crate::config::{ConfigDocument, HistoryDocument, RootDocument, RunDocument};
use crate::digest::Digest;
use crate::layer::{SpoolError, spool};
use crate::pipe;
use crate::platform::{Platform, PlatformError};

/// What an imported image is to be.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name it gets: `name[:tag]`.
    pub reference: Option<String>,
    /// A remark, kept as its comment.
    pub message: String,
    /// What containers start with; see [`crate::changes::apply`].
    pub defaults: Defaults,
    /// `os[/architecture[/variant]]`; this host's by default.
    pub platform: Option<String>,
    /// It is not to be listed: it stays only for who uses it.
    pub hidden: bool,
}

/// Why a root file system was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The new name is not one.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The platform is none.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The platform is not one of Linux.
    #[error("{0}: operating system is not supported")]
    System(Platform),
    /// The stream failed.
    #[error("read the root file system")]
    Read(#[source] std::io::Error),
    /// There was nothing.
    #[error("the root file system is empty: no bytes came")]
    Empty,
    /// Its tar.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl ImportError {
    /// The host's disk is full or fails, rather than that something is wrong with what was sent.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Layer(error) => error.is_hosts(),
            Self::Target(_) | Self::Platform(_) | Self::System(_) | Self::Read(_) | Self::Empty => {
                false
            }
        }
    }
}

impl Store {
    /// Makes an image of one layer from the tar of a root file system (plain, gzip or zstd).
    ///
    /// # Errors
    /// When the reference or the tar is wrong, or the disk is full.
    pub async fn import(
        &self,
        tar: impl AsyncRead + Unpin + Send + 'static,
        options: ImportOptions,
    ) -> Result<Arc<Image>, ImportError> {
        let store = self.clone();
        pipe::feed_blocking(tar, move |reader| store.import_blocking(reader, &options)).await
    }

    fn import_blocking(
        &self,
        reader: impl BufRead,
        options: &ImportOptions,
    ) -> Result<Arc<Image>, ImportError> {
        // What is wrong with the words is told before the stream is read.
        options.reference.as_deref().map(parse_target).transpose()?;
        platform(options.platform.as_deref())?;
        let staging = self.content().staging()?;
        let (file, path) = staging.create("layer.tar")?;
        let spooled = spool(BufReader::new(reader), &file).map_err(|error| match error {
            SpoolError::Read(error) => ImportError::Read(error),
            SpoolError::Write(error) => failed("write", &path)(error).into(),
        })?;
        if spooled.size_bytes == 0 {
            return Err(ImportError::Empty);
        }
        let root = StagedBlob { path, spooled };
        let (id, document, _held) = self.add_root(&root, staging, options)?;
        let state = self.state();
        // Somebody may have removed it by now; it was imported all the same.
        Ok(state.images.get(&id).map_or_else(
            || Arc::new(document.to_image(id, &[])),
            |stored| Arc::clone(&stored.image),
        ))
    }

    /// Makes an image of one layer from a kept root file system, and answers its id. It stays as
    /// long as the answer lives, then for who uses it. Waits for the disk.
    ///
    /// # Errors
    /// When the tar is wrong, or the disk is full.
    pub fn import_kept(
        &self,
        file: &KeptFile,
        options: &ImportOptions,
    ) -> Result<(String, Held), ImportError> {
        let staging = self.content().staging()?;
        let (id, _, held) = self.add_root(&self.as_blob(file), staging, options)?;
        Ok((id.to_string(), held))
    }

    /// Makes an image of a layer.
    fn add_root(
        &self,
        root: &StagedBlob,
        staging: Staging,
        options: &ImportOptions,
    ) -> Result<(Digest, ConfigDocument, Held), ImportError> {
        let name = options.reference.as_deref().map(parse_target).transpose()?;
        let Platform {
            os,
            architecture,
            variant,
        } = platform(options.platform.as_deref())?;
        let (diff_id, _pins) = self.add_layer(root, &staging)?;
        let now = Timestamp::now();
        let document = ConfigDocument {
            created: Some(now.to_string()),
            comment: options.message.clone(),
            architecture,
            variant,
            os,
            config: RunDocument::from_model(&options.defaults),
            rootfs: RootDocument {
                kind: "layers".to_owned(),
                diff_ids: vec![diff_id],
            },
            history: vec![HistoryDocument {
                created: Some(now.to_string()),
                comment: options.message.clone(),
                ..HistoryDocument::default()
            }],
            ..ConfigDocument::default()
        };
        drop(staging);
        self.content().flush_names()?;
        let path = self.content().index_path();
        let config =
            serde_json::to_vec(&document).map_err(|error| failed("write", &path)(error.into()))?;
        let id = Digest::of(&config);
        let held = self.hold(id);
        let record = ImageRecord {
            removed: options.hidden,
            ..ImageRecord::default()
        };
        self.change(|state| {
            self.content().write_blob(&id, &config)?;
            state.add(id, &document, config.into(), record);
            if let Some(name) = &name {
                state.tag(name, id, now);
            }
            Ok::<_, ImportError>(())
        })?;
        Ok((id, document, held))
    }
}

/// What the image is for: this machine, unless something else is said.
fn platform(text: Option<&str>) -> Result<Platform, ImportError> {
    let platform = text.map_or_else(|| Ok(Platform::host()), str::parse)?;
    if platform.os == "linux" {
        Ok(platform)
    } else {
        Err(ImportError::System(platform))
    }
}

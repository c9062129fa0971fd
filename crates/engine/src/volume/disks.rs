//! Volumes with a size, and snapshots, on this host: made, extended, copied and removed, one thing at
//! a time each.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Id;
use model::instance::{Failure, FailureKind};
use model::snapshot::Snapshot;
use model::volume::{Volume, VolumeSource};
use rooted::{Root, RootedError};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::copy_up;
use crate::disk::{self, DiskError};
use crate::failure::{failure, refused};
use crate::host::Inner;
use crate::instance::on_thread;
use crate::root::Layers;

/// Why a disk could not be filled with what it is to hold at first.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("open the image's root file system")]
    Image(#[source] crate::root::RootError),
    #[error("look into the image")]
    Look(#[source] RootedError),
    #[error("flush the volume")]
    Flush(#[source] Errno),
    #[error("unpack the image")]
    Unpack(#[source] copy_up::CopyError),
}

impl FillError {
    fn into_failure(self) -> Failure {
        let kind = match &self {
            Self::Disk(error) => error.kind(),
            Self::Image(_) | Self::Look(_) | Self::Flush(_) | Self::Unpack(_) => {
                FailureKind::Internal
            }
        };
        failure(kind, &self)
    }
}

impl Inner {
    /// Makes a volume, unless it exists, as large as it is to be; answers its directory.
    pub(crate) async fn ensure_volume(
        self: &Arc<Self>,
        volume: &Volume,
    ) -> Result<PathBuf, Failure> {
        if let Some(size_gib) = volume.spec.size_gib {
            let id = volume.meta.id;
            let _turn = self.runs.turn(id).await;
            let path = self.directories.disk(id);
            let bytes = disk::bytes(size_gib);
            let (host, source) = (Arc::clone(self), volume.spec.source.clone());
            on_thread(move || {
                if !path.exists() {
                    host.make_disk(id, bytes, source.as_ref())?;
                }
                disk::grow(&path, bytes).map_err(|error| failure(error.kind(), &error))
            })
            .await?;
        }
        super::ensure(&self.directories, volume).map_err(|error| error.into_failure())
    }

    fn make_disk(&self, id: Id, bytes: u64, source: Option<&VolumeSource>) -> Result<(), Failure> {
        // Found out before anything is made.
        let lower = match source {
            Some(VolumeSource::Image { content, .. }) => self.lower(content)?,
            _ => Vec::new(),
        };
        let made = disk::ensure(&self.directories, id, bytes, |new| match source {
            None => Ok(disk::format(new)?),
            Some(VolumeSource::Snapshot(from) | VolumeSource::Volume(from)) => {
                Ok(disk::copy(&self.directories.disk(*from), new)?)
            }
            Some(VolumeSource::Image { .. }) => unpack(lower, new),
        });
        made.map_err(FillError::into_failure)
    }

    /// Removes a volume with its contents.
    pub(crate) async fn remove_volume(self: &Arc<Self>, volume: &Volume) -> Result<(), Failure> {
        if volume.spec.size_gib.is_some() {
            self.remove_disk(volume.meta.id).await?;
        }
        let (directories, volume) = (self.directories.clone(), volume.clone());
        on_thread(move || {
            super::remove(&directories, &volume).map_err(|error| error.into_failure())
        })
        .await
    }

    /// Keeps what a volume holds now, unless it is kept already.
    pub(crate) async fn ensure_snapshot(
        self: &Arc<Self>,
        snapshot: &Snapshot,
    ) -> Result<(), Failure> {
        let id = snapshot.meta.id;
        let _turn = self.runs.turn(id).await;
        let directories = self.directories.clone();
        let from = directories.disk(snapshot.spec.volume);
        let bytes = disk::bytes(snapshot.spec.size_gib);
        on_thread(move || {
            if directories.disk(id).exists() {
                return Ok(());
            }
            disk::ensure(&directories, id, bytes, |new| disk::copy(&from, new))
                .map_err(|error| failure(error.kind(), &error))
        })
        .await
    }

    /// Removes a disk; none is fine.
    pub(crate) async fn remove_disk(self: &Arc<Self>, id: Id) -> Result<(), Failure> {
        let turn = self.runs.turn(id).await;
        let directories = self.directories.clone();
        on_thread(move || {
            disk::remove(&directories, id).map_err(|error| failure(error.kind(), &error))
        })
        .await?;
        drop(turn);
        self.runs.drop_turn(id);
        Ok(())
    }

    /// What a volume with a size holds; it is not removed as long as this is open.
    pub(crate) async fn volume_root(self: &Arc<Self>, volume: &Volume) -> Result<Root, Failure> {
        let path = self.directories.disk(volume.meta.id);
        on_thread(move || {
            let root = disk::mounted(&path);
            root.map(Root::from_fd)
                .map_err(|error| failure(error.kind(), &error))
        })
        .await
    }

    /// Bytes of the host that a disk takes.
    pub(crate) fn disk_usage(&self, id: Id) -> Result<u64, Failure> {
        let path = self.directories.disk(id);
        let metadata = std::fs::metadata(&path).map_err(|error| {
            refused(
                FailureKind::NotFound,
                format!("look at {}: {error}", path.display()),
            )
        })?;
        Ok(metadata.blocks() * 512)
    }
}

/// Fills a new disk with the root file system of an image.
fn unpack(lower: Vec<PathBuf>, new: &Path) -> Result<(), FillError> {
    disk::format(new)?;
    let image = crate::root::of_layers(&Layers {
        lower,
        writable: None,
    })
    .map_err(FillError::Image)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let source = image
        .open_at(Path::new(""), flags, Mode::empty())
        .map_err(FillError::Look)?;
    let target = disk::mounted(new)?;
    copy_up::copy_tree(source.as_fd(), target.as_fd()).map_err(FillError::Unpack)?;
    fs::syncfs(&target).map_err(FillError::Flush)
}

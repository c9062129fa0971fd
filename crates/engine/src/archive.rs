//! Copies files into and out of a root file system, as `docker cp` and `docker export` ask for it.
//!
//! What is behind a [`View`] is hostile and may change at any moment: every look-up goes through
//! [`rooted::Root`], and archives stream with bounded memory through a thread of their own. The
//! host makes the view (of a running instance or a stopped one); [`image::extract`] reads archives,
//! [`image::pack`] writes them.

mod path;

use std::io;
use std::path::{Path, PathBuf};

use image::extract::{self, ExtractError};
use image::pack::{self, PackError, Packer};
use image::pipe;
use model::instance::{Failure, FailureKind};
use model::stream::{ExtractOptions, PathStat};
use rooted::{Root, RootedError};
use runtime::idmap::as_root_of;
use runtime::user::{Databases, UserError};
use rustix::fs::FileType;
use rustix::io::Errno;

use self::path::Spot;
use crate::Archive;
use crate::failure::{failure, internal, refused};

/// A root file system as it is copied to and from.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) root: Root,
    /// What its root's id is on the node; 0 where ids are seen as they are inside.
    pub(crate) first_id: u32,
    /// What is mounted in it because a user asked for it.
    pub(crate) mounts: Vec<MountPoint>,
    /// The root file system cannot be written from inside.
    pub(crate) is_read_only: bool,
    /// The instance's name, for messages.
    pub(crate) name: String,
    /// Whom its process runs as, as it was written; empty is root.
    pub(crate) user: String,
}

/// A mount that a user asked for.
#[derive(Clone, Debug)]
pub(crate) struct MountPoint {
    /// Absolute path inside.
    pub(crate) target: PathBuf,
    pub(crate) is_read_only: bool,
}

/// Why a path could not be looked at or copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    /// In Docker's words, which its clients show.
    #[error("Could not find the file {path} in container {name}")]
    NotFound { path: String, name: String },
    #[error("lstat {path}: not a directory")]
    NotADirectory { path: String },
    #[error("extraction point is not a directory")]
    ExtractionPoint,
    #[error("container rootfs is marked read-only")]
    ReadOnlyRoot,
    #[error("mounted volume is marked read-only")]
    ReadOnlyMount,
    #[error(transparent)]
    Path(#[from] RootedError),
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error("become the owner of the container's files")]
    Identity(#[source] io::Error),
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        let kind = match &error {
            CopyError::NotFound { .. } => FailureKind::NotFound,
            CopyError::ExtractionPoint
            | CopyError::ReadOnlyRoot
            | CopyError::ReadOnlyMount
            | CopyError::User(_) => FailureKind::Invalid,
            // Docker answers 500 to all of these, even where the archive is at fault.
            CopyError::NotADirectory { .. }
            | CopyError::Path(_)
            | CopyError::Extract(_)
            | CopyError::Identity(_) => FailureKind::Internal,
        };
        failure(kind, &error)
    }
}

/// What is at `path`; a link at its end is not followed unless a slash is after it.
pub(crate) async fn stat(view: View, path: &str) -> Result<PathStat, Failure> {
    let path = path.to_owned();
    blocking(move || Ok(view.find(&path)?.stat()?)).await
}

/// An archive of what is at `path`, its names beginning with the last part of `path`.
pub(crate) async fn read(view: View, path: &str) -> Result<(PathStat, Archive), Failure> {
    let path = path.to_owned();
    let (stat, view, spot) = blocking(move || {
        let spot = view.find(&path)?;
        Ok((spot.stat()?, view, spot))
    })
    .await?;
    let archive = stream("archive", move |out| {
        let mounts = view
            .mounts
            .iter()
            .map(|mount| mount.target.clone())
            .collect();
        let options = pack::Options {
            mounts,
            first_id: view.first_id,
            ..pack::Options::default()
        };
        let mut packer = Packer::new(out, options);
        packer.add(&spot.item())?;
        packer.finish()
    })?;
    Ok((stat, archive))
}

/// Extracts an archive into the directory at `path`.
pub(crate) async fn write(
    view: View,
    path: &str,
    archive: Archive,
    options: ExtractOptions,
) -> Result<(), Failure> {
    let path = path.to_owned();
    // Nothing is read from the client before it is clear that it can be written.
    let (view, into, owner) = blocking(move || {
        let into = view.extraction_point(&path)?;
        let owner = if options.copy_owners {
            view.owner()?
        } else {
            None
        };
        Ok((view, into, owner))
    })
    .await?;
    let options = extract::Options {
        keep_kinds: options.no_overwrite_dir_non_dir,
        owner,
        first_id: view.first_id,
        refuse_devices: false,
    };
    let extracted = pipe::feed_blocking(archive, move |reader| {
        let extract = || extract::extract(reader, &view.root, &into, options);
        match view.first_id {
            0 => Ok(extract()?),
            first => Ok(as_root_of(first, extract).map_err(CopyError::Identity)??),
        }
    })
    .await;
    extracted.map_err(|error: CopyError| error.into())
}

/// An archive of everything in a root, its names relative to it.
///
/// `first_id` is as [`View::first_id`]; `held` is let go once all is packed.
pub(crate) fn export(
    root: Root,
    first_id: u32,
    held: impl Send + 'static,
) -> Result<Archive, Failure> {
    stream("export", move |out| {
        let _held = held;
        let options = pack::Options {
            first_id,
            ..pack::Options::default()
        };
        let mut packer = Packer::new(out, options);
        packer.add_root(&root)?;
        packer.finish()
    })
}

/// An archive of the writable layer of an overlay, with the whiteouts of image layers.
///
/// `held` is let go once all is packed.
pub(crate) fn layer(root: Root, held: impl Send + 'static) -> Result<Archive, Failure> {
    stream("layer", move |out| {
        let _held = held;
        let options = pack::Options {
            is_layer: true,
            ..pack::Options::default()
        };
        let mut packer = Packer::new(out, options);
        packer.add_root(&root)?;
        packer.finish()
    })
}

impl View {
    fn find(&self, path: &str) -> Result<Spot, CopyError> {
        path::find(&self.root, path).map_err(|error| self.about(error, path))
    }

    /// The absolute path, without links, of the directory at `path`, if it can be written.
    fn extraction_point(&self, path: &str) -> Result<PathBuf, CopyError> {
        let absolute = rooted::resolved(&self.root, &rooted::normalized(Path::new(path)))
            .map_err(|error| self.about(error, path))?;
        let there = self
            .root
            .stat(&absolute, false)
            .map_err(|error| self.about(error, path))?;
        if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
            return Err(CopyError::ExtractionPoint);
        }
        // The deepest one counts: mounts may be nested.
        let covering = self
            .mounts
            .iter()
            .filter(|mount| absolute.starts_with(&mount.target));
        match covering.max_by_key(|mount| mount.target.components().count()) {
            Some(mount) if mount.is_read_only => Err(CopyError::ReadOnlyMount),
            None if self.is_read_only => Err(CopyError::ReadOnlyRoot),
            _ => Ok(absolute),
        }
    }

    /// User and group of its process, where it names any.
    fn owner(&self) -> Result<Option<(u32, u32)>, CopyError> {
        if self.user.is_empty() {
            return Ok(None);
        }
        let identity = Databases::read(&self.root).named(&self.user)?;
        Ok(Some((identity.uid, identity.gid)))
    }

    fn about(&self, error: RootedError, path: &str) -> CopyError {
        match error.source {
            Errno::NOENT => CopyError::NotFound {
                path: path.to_owned(),
                name: self.name.clone(),
            },
            Errno::NOTDIR => CopyError::NotADirectory {
                path: path.to_owned(),
            },
            _ => error.into(),
        }
    }
}

/// Runs `pack` in a thread of its own: a client that reads slowly would keep one of the few
/// threads for blocking calls.
fn stream(
    name: &'static str,
    pack: impl FnOnce(&mut dyn io::Write) -> Result<(), PackError> + Send + 'static,
) -> Result<Archive, Failure> {
    let (mut out, archive) = pipe::outward();
    let work = move || {
        let packed = pack(&mut out);
        out.finish(packed.map_err(|error| io::Error::other(internal(&error).message)));
    };
    match std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
    {
        Ok(_thread) => Ok(Box::new(archive)),
        Err(error) => Err(refused(
            FailureKind::Internal,
            format!("start a thread for an archive: {error}"),
        )),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;

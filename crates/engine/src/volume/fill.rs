//! Fills volumes that are new with what the image has where they are mounted.
//!
//! Which volumes those are is found here; [`super::copy_up`] copies.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use model::ProjectId;
use model::container::{Mount, MountSource};
use model::instance::Failure;
use rooted::Root;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::resolve::of_volume;
use super::{VolumeError, copy_up as tree, ensure_plain};
use crate::directory::Directories;
use crate::failure::internal;
use crate::spec::mount::What;

/// Fills empty volumes with what the image has where they are mounted.
///
/// `image` is the root file system without mounts.
pub(crate) fn copy_up(
    directories: &Directories,
    project: ProjectId,
    mounts: &[Mount],
    image: impl FnOnce() -> Result<Root, CopyUpError>,
) -> Result<(), CopyUpError> {
    let mut empty = Vec::new();
    for mount in mounts {
        let MountSource::Volume {
            name,
            no_copy,
            subpath,
            ..
        } = &mount.source
        else {
            continue;
        };
        if *no_copy {
            ensure_plain(directories, project, name)?;
            continue;
        }
        let look = |source| VolumeError::Look {
            name: name.clone(),
            path: PathBuf::from(subpath),
            source,
        };
        let root = match of_volume(directories, project, name, subpath) {
            Ok(What::Disk { image }) => {
                let mounted = crate::disk::mounted(&image);
                Root::from_fd(mounted.map_err(|source| VolumeError::Disk {
                    name: name.clone(),
                    source,
                })?)
            }
            Ok(What::Path { path, .. }) => match Root::open(&path) {
                // A file in the volume takes nothing.
                Err(error) if error.source == Errno::NOTDIR => continue,
                root => root.map_err(look)?,
            },
            Ok(What::FileSystem { .. } | What::Image { .. } | What::Tmpfs { .. })
            | Err(VolumeError::SubpathMissing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let listing = root
            .open_at(
                Path::new(""),
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .map_err(look)?;
        let is_empty = tree::is_empty(listing.as_fd()).map_err(|errno| VolumeError::Files {
            attempt: "list",
            path: PathBuf::from(subpath),
            source: errno.into(),
        })?;
        if is_empty {
            empty.push((mount, name, root));
        }
    }
    if empty.is_empty() {
        return Ok(());
    }
    let image = image()?;
    for (mount, name, volume) in empty {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY;
        let source = match image.open_at(Path::new(&mount.target), directory, Mode::empty()) {
            Ok(source) => source,
            // The image has nothing there, or a file, which a volume cannot take.
            Err(error) if matches!(error.source, Errno::NOENT | Errno::NOTDIR) => continue,
            Err(source) => {
                let path = PathBuf::from(&mount.target);
                return Err(VolumeError::Look {
                    name: name.clone(),
                    path,
                    source,
                }
                .into());
            }
        };
        let failed = |source| VolumeError::CopyUp {
            name: name.clone(),
            target: mount.target.clone(),
            source,
        };
        let look = |source| VolumeError::Look {
            name: name.clone(),
            path: PathBuf::new(),
            source,
        };
        let target = volume
            .open_at(Path::new(""), directory, Mode::empty())
            .map_err(look)?;
        tree::copy_tree(source.as_fd(), target.as_fd()).map_err(failed)?;
    }
    Ok(())
}

impl CopyUpError {
    /// The failure that front ends see.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Volume(error) => error.into_failure(),
            Self::Image(error) => internal(&error),
        }
    }
}

/// Why volumes could not be filled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyUpError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Image(#[from] crate::root::RootError),
}

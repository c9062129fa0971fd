//! Volumes: directories of the node, disks of a size, or descriptions of file systems, that instances
//! mount.
//!
//! A volume with options (`type`, `device`, `o`) is mounted in each container's own mount
//! namespace when it starts, so nothing is mounted on the host: a `tmpfs` volume is therefore
//! empty at every start and not shared between containers.

mod copy_up;
mod disks;
mod fill;
mod live;
mod resolve;

use std::io;
use std::path::{Path, PathBuf};

use model::instance::{Failure, FailureKind};
use model::volume::Volume;
use model::{Id, ProjectId};
use rooted::{Root, RootedError};

use crate::directory::{Directories, MakeError, make_directory};
use crate::disk::DiskError;
use crate::failure::failure;

pub(crate) use fill::copy_up;
pub(crate) use resolve::{layers, mounted, resolve};

/// The directory that containers see.
const CONTENTS: &str = "_data";
/// What the volume is, beside its contents; only where it has options.
const DESCRIPTION: &str = "volume.json";
/// The identity of the volume, beside its contents; only where it is a disk.
const DISK: &str = "disk";

/// Why a volume could not be made, removed or mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("{name:?} cannot be the name of a volume")]
    Name { name: String },
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("{attempt} {path}")]
    Files {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("read the description of volume {name:?}")]
    Description {
        name: String,
        source: serde_json::Error,
    },
    #[error("remove volume {name:?}")]
    Remove { name: String, source: RootedError },
    #[error("fill volume {name:?} with what the image has at {target}")]
    CopyUp {
        name: String,
        target: String,
        source: copy_up::CopyError,
    },
    #[error("look into volume {name:?} at {path:?}")]
    Look {
        name: String,
        path: PathBuf,
        source: RootedError,
    },
    #[error("cannot access path {path:?} of volume {name:?}: no such file or directory")]
    SubpathMissing { name: String, path: String },
    #[error(
        "path concatenation escapes the base directory, base: volume {name:?}, subpath: {path:?}"
    )]
    SubpathOutside { name: String, path: String },
    #[error("volume {name:?} has a size and is mounted as a whole, not at its path {path:?}")]
    SubpathOfDisk { name: String, path: String },
    #[error(transparent)]
    Image(image::LookupError),
    #[error("volume {name:?}")]
    Disk { name: String, source: DiskError },
    #[error("the volume at {target} has no size")]
    NoDisk { target: String },
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {path}")]
    BindSourceMissing { path: String },
    #[error(
        "invalid mount config for type \"bind\": invalid mount path: '{path}' mount path must be absolute"
    )]
    BindSourceRelative { path: String },
    #[error("look at bind source path {path}")]
    BindSource { path: String, source: io::Error },
}

impl VolumeError {
    /// The failure that front ends see.
    pub(crate) fn into_failure(self) -> Failure {
        let kind = match &self {
            Self::Name { .. }
            | Self::SubpathMissing { .. }
            | Self::SubpathOutside { .. }
            | Self::SubpathOfDisk { .. }
            | Self::NoDisk { .. }
            | Self::BindSourceMissing { .. }
            | Self::BindSourceRelative { .. } => FailureKind::Invalid,
            Self::Make(_)
            | Self::Files { .. }
            | Self::Description { .. }
            | Self::Remove { .. }
            | Self::CopyUp { .. }
            | Self::Look { .. }
            | Self::BindSource { .. } => FailureKind::Internal,
            Self::Disk { source, .. } => source.kind(),
            Self::Image(_) => FailureKind::NotFound,
        };
        failure(kind, &self)
    }
}

/// Makes a volume's directory, unless it exists, says there what it is, and answers the path of its
/// contents.
pub(crate) fn ensure(directories: &Directories, volume: &Volume) -> Result<PathBuf, VolumeError> {
    let (project, name) = (volume.meta.project, &volume.meta.name);
    let contents = ensure_plain(directories, project, name)?;
    let directory = directories.volume(project, name);
    let options = (!volume.spec.options.is_empty())
        .then(|| serde_json::to_vec(&volume.spec.options))
        .transpose()
        .map_err(|source| VolumeError::Description {
            name: name.clone(),
            source,
        })?;
    note(directory.join(DESCRIPTION), options)?;
    let id = volume.meta.id.simple();
    note(
        directory.join(DISK),
        volume.spec.size_gib.map(|_| id.into_bytes()),
    )?;
    Ok(contents)
}

/// Writes down what a volume is, or that it is not: another one of that name may have been.
fn note(path: PathBuf, text: Option<Vec<u8>>) -> Result<(), VolumeError> {
    let new = path.with_extension("new");
    let written = match text {
        Some(text) => std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)),
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            answer => answer,
        },
    };
    written.map_err(|source| VolumeError::Files {
        attempt: "write",
        path,
        source,
    })
}

/// The disk that a volume is, where it is one.
fn disk_of(
    directories: &Directories,
    project: ProjectId,
    name: &str,
) -> Result<Option<PathBuf>, VolumeError> {
    let path = directories.volume(project, name).join(DISK);
    let failed = |source| VolumeError::Files {
        attempt: "read",
        path: path.clone(),
        source,
    };
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(source)),
        Ok(text) => {
            let id: Id = text
                .parse()
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            Ok(Some(directories.disk(id)))
        }
    }
}

fn ensure_plain(
    directories: &Directories,
    project: ProjectId,
    name: &str,
) -> Result<PathBuf, VolumeError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(VolumeError::Name {
            name: name.to_owned(),
        });
    }
    let contents = directories.volume(project, name).join(CONTENTS);
    if !contents.is_dir() {
        // A tenant's root may have left set-user-id programs there, which on the disk are root's:
        // none of the node's users may get at them.
        if project != ProjectId::ADMIN {
            make_directory(&directories.volumes_of(project), 0o700)?;
        }
        // Whoever gets past 0711 above may enter; what is inside has its own permissions.
        make_directory(&contents, 0o755)?;
    }
    Ok(contents)
}

/// Removes a volume with its contents; a missing one is no error.
pub(crate) fn remove(directories: &Directories, volume: &Volume) -> Result<(), VolumeError> {
    let name = &volume.meta.name;
    let directory = directories.volume(volume.meta.project, name);
    let failed = |source| VolumeError::Remove {
        name: name.clone(),
        source,
    };
    let Some(parent) = directory.parent().filter(|parent| parent.is_dir()) else {
        return Ok(());
    };
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(VolumeError::Name { name: name.clone() });
    }
    Root::open(parent)
        .and_then(|root| root.remove_all(Path::new(name)))
        .map_err(failed)
}

#[cfg(test)]
mod example {
    use jiff::Timestamp;
    use model::volume::{Volume, VolumeSpec};
    use model::{Meta, ProjectId};

    pub(super) fn volume(name: &str, options: &[(&str, &str)]) -> Volume {
        let options = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Volume {
            meta: Meta::new(name, ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec: VolumeSpec {
                options,
                ..VolumeSpec::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::example::volume;
    use super::*;

    #[test]
    fn a_volume_is_made_and_removed_twice() {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        let volume = volume("v", &[]);
        let path = ensure(&directories, &volume).unwrap();
        let project = format!("volumes/{}/v/_data", volume.meta.project);
        assert_eq!(path, data.path().join(project));
        std::fs::write(path.join("file"), "x").unwrap();
        ensure(&directories, &volume).unwrap();
        remove(&directories, &volume).unwrap();
        remove(&directories, &volume).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn names_do_not_lead_out_of_the_directory() {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        for name in ["..", "a/b", "", "."] {
            assert!(
                matches!(
                    ensure(&directories, &volume(name, &[])),
                    Err(VolumeError::Name { .. })
                ),
                "{name}"
            );
        }
    }
}

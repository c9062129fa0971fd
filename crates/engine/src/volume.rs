//! Volumes: directories of the node, disks of a size, or descriptions of file systems, that instances
//! mount.
//!
//! A volume with options (`type`, `device`, `o`) is mounted in each container's own mount
//! namespace when it starts, so nothing is mounted on the host: a `tmpfs` volume is therefore
//! empty at every start and not shared between containers.

mod copy_up;
mod disks;
mod live;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use model::container::{Mount, MountSource, Propagation};
use model::instance::{Failure, FailureKind};
use model::volume::Volume;
use model::{Id, ProjectId};
use rooted::{Root, RootedError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::directory::{Directories, MakeError, make_directory};
use crate::disk::DiskError;
use crate::failure::{failure, internal};
use crate::spec::mount::{Wanted, What};

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
    #[error("volume {name:?} has a size and is mounted as a whole, not at its path {path:?}")]
    SubpathOfDisk { name: String, path: String },
    #[error("volume {name:?}")]
    Disk { name: String, source: DiskError },
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
            | Self::SubpathOfDisk { .. }
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

/// What an instance's mounts are on this node. Volumes and, where asked for, bind sources that are
/// missing are made.
pub(crate) fn resolve(
    directories: &Directories,
    project: ProjectId,
    mounts: &[Mount],
) -> Result<Vec<Wanted>, VolumeError> {
    mounts
        .iter()
        .map(|mount| resolve_one(directories, project, mount))
        .collect()
}

fn resolve_one(
    directories: &Directories,
    project: ProjectId,
    mount: &Mount,
) -> Result<Wanted, VolumeError> {
    let what = match &mount.source {
        MountSource::Bind {
            path,
            propagation,
            create,
            non_recursive,
            read_only_non_recursive,
        } => {
            bind_source(path, *create)?;
            What::Path {
                path: PathBuf::from(path),
                propagation: *propagation,
                non_recursive: *non_recursive,
                read_only_non_recursive: *read_only_non_recursive,
            }
        }
        MountSource::Volume { name, subpath, .. } => {
            let contents = ensure_plain(directories, project, name)?;
            match file_system(directories, project, name)? {
                Some(What::Disk { .. }) if !subpath.is_empty() => {
                    return Err(VolumeError::SubpathOfDisk {
                        name: name.clone(),
                        path: subpath.clone(),
                    });
                }
                Some(what) => what,
                None => path(inside(&contents, name, subpath)?),
            }
        }
        MountSource::Tmpfs {
            size_bytes,
            mode,
            options,
        } => What::Tmpfs {
            size_bytes: *size_bytes,
            mode: *mode,
            options: options.clone(),
        },
    };
    Ok(Wanted {
        target: mount.target.clone(),
        what,
        read_only: mount.read_only,
    })
}

fn path(path: PathBuf) -> What {
    What::Path {
        path,
        propagation: Propagation::Rprivate,
        non_recursive: false,
        read_only_non_recursive: false,
    }
}

fn bind_source(path: &str, create: bool) -> Result<(), VolumeError> {
    if !path.starts_with('/') {
        return Err(VolumeError::BindSourceRelative {
            path: path.to_owned(),
        });
    }
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            Ok(make_directory(Path::new(path), 0o755)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(VolumeError::BindSourceMissing {
                path: path.to_owned(),
            })
        }
        Err(source) => Err(VolumeError::BindSource {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A directory of a volume: where it really is, so that no link in the volume leads outside.
fn inside(contents: &Path, name: &str, subpath: &str) -> Result<PathBuf, VolumeError> {
    if subpath.is_empty() {
        return Ok(contents.to_owned());
    }
    let look = |source: RootedError| match source.source {
        Errno::NOENT => VolumeError::SubpathMissing {
            name: name.to_owned(),
            path: subpath.to_owned(),
        },
        _ => VolumeError::Look {
            name: name.to_owned(),
            path: PathBuf::from(subpath),
            source,
        },
    };
    let found = Root::open(contents)
        .and_then(|root| root.resolve(Path::new(subpath)))
        .map_err(look)?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    let path = std::fs::read_link(&link);
    path.map_err(|source| VolumeError::Files {
        attempt: "find",
        path: PathBuf::from(subpath),
        source,
    })
}

/// The disk that a volume is, or the file system that its options describe, where it has some.
fn file_system(
    directories: &Directories,
    project: ProjectId,
    name: &str,
) -> Result<Option<What>, VolumeError> {
    if let Some(image) = disk_of(directories, project, name)? {
        return Ok(Some(What::Disk { image }));
    }
    let path_of_description = directories.volume(project, name).join(DESCRIPTION);
    let text = match std::fs::read(&path_of_description) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(VolumeError::Files {
                attempt: "read",
                path: path_of_description,
                source,
            });
        }
        Ok(text) => text,
    };
    let options: BTreeMap<String, String> =
        serde_json::from_slice(&text).map_err(|source| VolumeError::Description {
            name: name.to_owned(),
            source,
        })?;
    let get = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
    let flags: Vec<String> = get("o")
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    let device = get("device");
    if flags.iter().any(|flag| flag == "bind" || flag == "rbind") {
        bind_source(device, false)?;
        return Ok(Some(path(PathBuf::from(device))));
    }
    Ok((!device.is_empty()).then(|| What::FileSystem {
        kind: get("type").to_owned(),
        device: device.to_owned(),
        options: flags,
    }))
}

/// Fills empty volumes with what the image has where they are mounted.
///
/// `image` is the root file system without mounts.
pub(crate) fn copy_up(
    directories: &Directories,
    project: ProjectId,
    mounts: &[Mount],
    image: impl FnOnce() -> Result<Root, crate::root::RootError>,
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
        let contents = ensure_plain(directories, project, name)?;
        if *no_copy || !subpath.is_empty() {
            continue;
        }
        let what = file_system(directories, project, name)?;
        let contents = match &what {
            None | Some(What::Disk { .. }) => contents,
            Some(What::Path { path, .. }) => path.clone(),
            Some(What::FileSystem { .. } | What::Tmpfs { .. }) => continue,
        };
        let look = |source| VolumeError::Look {
            name: name.clone(),
            path: contents.clone(),
            source,
        };
        let root = match &what {
            Some(What::Disk { image }) => {
                let mounted = crate::disk::mounted(image);
                Root::from_fd(mounted.map_err(|source| VolumeError::Disk {
                    name: name.clone(),
                    source,
                })?)
            }
            _ => Root::open(&contents).map_err(look)?,
        };
        let listing = root
            .open_at(
                Path::new(""),
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .map_err(look)?;
        let is_empty = copy_up::is_empty(listing.as_fd()).map_err(|errno| VolumeError::Files {
            attempt: "list",
            path: contents.clone(),
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
        copy_up::copy_tree(source.as_fd(), target.as_fd()).map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use model::Meta;
    use model::volume::VolumeSpec;

    fn volume(name: &str, options: &[(&str, &str)]) -> Volume {
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

    fn mounted(name: &str, subpath: &str) -> Mount {
        let source = MountSource::Volume {
            name: name.into(),
            anonymous: false,
            no_copy: false,
            subpath: subpath.into(),
        };
        Mount {
            target: "/data".into(),
            source,
            read_only: false,
        }
    }

    fn resolved(directories: &Directories, mount: Mount) -> Result<What, VolumeError> {
        Ok(resolve(directories, ProjectId::ADMIN, &[mount])?
            .remove(0)
            .what)
    }

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

    #[test]
    fn a_directory_of_a_volume_is_found_inside_it_only() {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        let contents = ensure(&directories, &volume("v", &[])).unwrap();
        std::fs::create_dir(contents.join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc", contents.join("out")).unwrap();
        let What::Path { path, .. } = resolved(&directories, mounted("v", "sub")).unwrap() else {
            panic!()
        };
        assert_eq!(path, contents.join("sub").canonicalize().unwrap());
        assert!(matches!(
            resolved(&directories, mounted("v", "out")),
            Err(VolumeError::SubpathMissing { .. })
        ));
    }

    #[test]
    fn options_describe_a_file_system_or_a_directory() {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        ensure(
            &directories,
            &volume(
                "t",
                &[
                    ("type", "tmpfs"),
                    ("device", "tmpfs"),
                    ("o", "size=1m,uid=3"),
                ],
            ),
        )
        .unwrap();
        let What::FileSystem { kind, options, .. } =
            resolved(&directories, mounted("t", "")).unwrap()
        else {
            panic!()
        };
        assert_eq!((kind.as_str(), options.len()), ("tmpfs", 2));
        ensure(
            &directories,
            &volume("b", &[("type", "none"), ("device", "/etc"), ("o", "bind")]),
        )
        .unwrap();
        let What::Path { path, .. } = resolved(&directories, mounted("b", "")).unwrap() else {
            panic!()
        };
        assert_eq!(path, Path::new("/etc"));
    }

    #[test]
    fn a_missing_bind_source_is_refused_or_made() {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        let wanted = data.path().join("new/dir");
        let bind = |path: &str, create| Mount {
            target: "/x".into(),
            source: MountSource::Bind {
                path: path.into(),
                propagation: Propagation::Rprivate,
                create,
                non_recursive: false,
                read_only_non_recursive: false,
            },
            read_only: false,
        };
        let path = wanted.to_str().unwrap();
        assert_eq!(
            resolved(&directories, bind(path, false))
                .unwrap_err()
                .to_string(),
            format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {path}"
            )
        );
        resolved(&directories, bind(path, true)).unwrap();
        assert!(wanted.is_dir());
        assert!(resolved(&directories, bind("relative", true)).is_err());
    }
}

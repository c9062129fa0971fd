//! What an instance's mounts are on this node: paths, file systems and disks.
//!
//! Volumes that are missing are made here; they are mounted by the instance's start and by [`super::live`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use model::ProjectId;
use model::container::{Mount, MountSource, Propagation};
use rooted::{Root, RootedError};
use runtime::disk::Disk;
use rustix::io::Errno;

use super::{DESCRIPTION, VolumeError, disk_of, ensure_plain};
use crate::directory::{Directories, make_directory};
use crate::spec::mount::{Wanted, What};

/// What an instance's mounts are on this node. Volumes and, where asked for, bind sources that are
/// missing are made.
pub(crate) fn resolve(
    directories: &Directories,
    images: &image::Store,
    project: ProjectId,
    mounts: &[Mount],
) -> Result<Vec<Wanted>, VolumeError> {
    let resolve = |mount: &Mount| {
        Ok(Wanted {
            target: mount.target.clone(),
            what: resolve_one(directories, images, project, mount)?,
            read_only: mount.read_only,
        })
    };
    mounts.iter().map(resolve).collect()
}

/// The layers of an image as an overlay takes them: the topmost first, below all of them that which
/// is below every image.
pub(crate) fn layers(
    directories: &Directories,
    images: &image::Store,
    id: &str,
) -> Result<Vec<PathBuf>, image::LookupError> {
    let mut layers = images.layers(id)?;
    layers.push(directories.base());
    Ok(layers)
}

fn resolve_one(
    directories: &Directories,
    images: &image::Store,
    project: ProjectId,
    mount: &Mount,
) -> Result<What, VolumeError> {
    Ok(match &mount.source {
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
            of_volume(directories, project, name, subpath)?
        }
        MountSource::Image { id, subpath, .. } => What::Image {
            layers: layers(directories, images, id).map_err(VolumeError::Image)?,
            subpath: PathBuf::from(subpath),
        },
        MountSource::Tmpfs {
            size_bytes,
            mode,
            options,
        } => What::Tmpfs {
            size_bytes: *size_bytes,
            mode: *mode,
            options: options.clone(),
        },
    })
}

/// What is at a path of a volume, which is made where it is missing; an empty path is all of it.
pub(super) fn of_volume(
    directories: &Directories,
    project: ProjectId,
    name: &str,
    subpath: &str,
) -> Result<What, VolumeError> {
    let contents = ensure_plain(directories, project, name)?;
    match file_system(directories, project, name)? {
        Some(What::Disk { .. }) if !subpath.is_empty() => Err(VolumeError::SubpathOfDisk {
            name: name.to_owned(),
            path: subpath.to_owned(),
        }),
        Some(what) => Ok(what),
        None => Ok(path(inside(&contents, name, subpath)?)),
    }
}

/// What is in a volume with a size, by a mount that ends with it.
pub(crate) fn mounted(
    directories: &Directories,
    project: ProjectId,
    mount: &Mount,
) -> Result<Root, VolumeError> {
    let MountSource::Volume { name, subpath, .. } = &mount.source else {
        return Err(VolumeError::NoDisk {
            target: mount.target.clone(),
        });
    };
    match of_volume(directories, project, name, subpath)? {
        What::Disk { image } => {
            // The mount itself, in which others can be mounted.
            let mounted = Disk::open(&image).and_then(|disk| disk.mount(false));
            mounted
                .map(Root::from_fd)
                .map_err(|source| VolumeError::Disk {
                    name: mount.target.clone(),
                    source: source.into(),
                })
        }
        What::Path { .. } | What::FileSystem { .. } | What::Image { .. } | What::Tmpfs { .. } => {
            Err(VolumeError::NoDisk {
                target: mount.target.clone(),
            })
        }
    }
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
        Errno::NOENT | Errno::NOTDIR => VolumeError::SubpathMissing {
            name: name.to_owned(),
            path: subpath.to_owned(),
        },
        Errno::XDEV => VolumeError::SubpathOutside {
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
        .and_then(|root| root.beneath(Path::new(subpath)))
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
pub(super) fn file_system(
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

#[cfg(test)]
mod tests {
    use super::super::ensure;
    use super::super::example::volume;
    use super::*;

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
        let none = tempfile::tempdir().unwrap();
        let images = image::Store::open(none.path()).unwrap();
        resolve_one(directories, &images, ProjectId::ADMIN, &mount)
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
            Err(VolumeError::SubpathOutside { .. })
        ));
        assert!(matches!(
            resolved(&directories, mounted("v", "none")),
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

//! How a root file system differs from its image, told by the writable layer of the overlay, and
//! how large that layer is.
//!
//! It reads the layers themselves, never a mount, so it does the same for a running instance and a
//! stopped one. Source of the marks: kernel documentation, "Overlay Filesystem".

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use image::pack::{is_opaque, is_whiteout};
use model::Id;
use model::instance::Failure;
use model::stream::{Change, ChangeKind};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::failure::internal;
use crate::host::Inner;
use crate::instance::on_thread;

/// How deep directories may be nested: each level holds descriptors.
const MAX_DEPTH: usize = 512;

/// Why layers cannot be compared.
#[derive(Debug, thiserror::Error)]
enum ChangesError {
    #[error("{attempt} {}", path.display())]
    Layer {
        attempt: &'static str,
        path: PathBuf,
        source: Errno,
    },
    #[error("compare {}: directories are nested deeper than {MAX_DEPTH}", path.display())]
    TooDeep { path: PathBuf },
}

impl Inner {
    /// How an instance's root file system differs from its image.
    pub(crate) async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure> {
        let lower = self.lower(&self.origin(id)?.image_id)?;
        let upper = self.directories.instance(id).upper();
        on_thread(move || list(&upper, &lower).map_err(|error| internal(&error))).await
    }

    /// Bytes in an instance's writable layer.
    pub(crate) async fn writable_size(&self, id: Id) -> Result<u64, Failure> {
        let _known = self.origin(id)?;
        let upper = self.directories.instance(id).upper();
        on_thread(move || size(&upper)).await
    }
}

/// Bytes of the files below a directory; one with several names counts once.
pub(crate) fn size(directory: &Path) -> Result<u64, Failure> {
    size_bytes(directory).map_err(|error| internal(&error))
}

/// What the writable layer `upper` changes of the layers `lower` (the topmost first), by path.
fn list(upper: &Path, lower: &[PathBuf]) -> Result<Vec<Change>, ChangesError> {
    let open = |path: &Path| {
        open_directory(CWD, path.as_os_str()).map_err(|source| ChangesError::Layer {
            attempt: "open layer",
            path: path.to_owned(),
            source,
        })
    };
    let upper = open(upper)?;
    let lower: Vec<OwnedFd> = lower
        .iter()
        .map(|path| open(path))
        .collect::<Result<_, _>>()?;
    let mut changes = Vec::new();
    compare(&upper, &lower, Path::new("/"), 0, &mut changes)?;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

fn size_bytes(upper: &Path) -> Result<u64, ChangesError> {
    let layer = open_directory(CWD, upper.as_os_str()).map_err(|source| ChangesError::Layer {
        attempt: "open layer",
        path: upper.to_owned(),
        source,
    })?;
    measure(&layer, upper, 0, &mut HashSet::new())
}

fn measure(
    directory: &OwnedFd,
    path: &Path,
    depth: usize,
    seen: &mut HashSet<(u64, u64)>,
) -> Result<u64, ChangesError> {
    if depth > MAX_DEPTH {
        return Err(ChangesError::TooDeep {
            path: path.to_owned(),
        });
    }
    let mut bytes = 0_u64;
    for name in names(directory, path)? {
        let Some(stat) = stat(directory.as_fd(), &name, path)? else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match open_directory(directory, &name) {
                Ok(below) => {
                    bytes =
                        bytes.saturating_add(measure(&below, &path.join(&name), depth + 1, seen)?);
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(source) => {
                    return Err(ChangesError::Layer {
                        attempt: "open",
                        path: path.join(&name),
                        source,
                    });
                }
            }
        } else if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
            bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or_default());
        }
    }
    Ok(bytes)
}

/// Compares one directory of the writable layer with the same one of the layers that show through.
fn compare(
    upper: &OwnedFd,
    lower: &[OwnedFd],
    path: &Path,
    depth: usize,
    changes: &mut Vec<Change>,
) -> Result<(), ChangesError> {
    if depth > MAX_DEPTH {
        return Err(ChangesError::TooDeep {
            path: path.to_owned(),
        });
    }
    for name in names(upper, path)? {
        let Some(new) = stat(upper.as_fd(), &name, path)? else {
            continue;
        };
        let inside = path.join(&name);
        let old = visible(lower, &name, path)?;
        let mut note = |kind| {
            changes.push(Change {
                path: inside.to_string_lossy().into_owned(),
                kind,
            });
        };
        if is_whiteout(&new) {
            // One that hides nothing is left of something made and removed again.
            if old.is_some() {
                note(ChangeKind::Deleted);
            }
            continue;
        }
        match &old {
            None => note(ChangeKind::Added),
            Some(old) if is_same_directory(old, &new) => {}
            Some(_) => note(ChangeKind::Modified),
        }
        if FileType::from_raw_mode(new.st_mode) != FileType::Directory {
            continue;
        }
        let failed = |source| ChangesError::Layer {
            attempt: "open",
            path: inside.clone(),
            source,
        };
        let directory = match open_directory(upper, &name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            answer => answer.map_err(failed)?,
        };
        let below = showing_through(lower, &name, &inside)?;
        if is_opaque(directory.as_fd()) {
            deleted_by_opaque(&directory, &below, &inside, changes)?;
        }
        compare(&directory, &below, &inside, depth + 1, changes)?;
    }
    Ok(())
}

/// What lower layers have in a directory that hides all of it, and that is not there again.
fn deleted_by_opaque(
    upper: &OwnedFd,
    lower: &[OwnedFd],
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<(), ChangesError> {
    let mut hidden = BTreeSet::new();
    for layer in lower {
        hidden.extend(names(layer, path)?);
    }
    for name in hidden {
        if visible(lower, &name, path)?.is_some() && stat(upper.as_fd(), &name, path)?.is_none() {
            changes.push(Change {
                path: path.join(&name).to_string_lossy().into_owned(),
                kind: ChangeKind::Deleted,
            });
        }
    }
    Ok(())
}

/// What the image has under this name in a directory.
fn visible(lower: &[OwnedFd], name: &OsStr, path: &Path) -> Result<Option<Stat>, ChangesError> {
    for layer in lower {
        if let Some(stat) = stat(layer.as_fd(), name, path)? {
            return Ok(Some(stat).filter(|stat| !is_whiteout(stat)));
        }
    }
    Ok(None)
}

/// The directories of this name whose contents are merged, the topmost first.
fn showing_through(
    lower: &[OwnedFd],
    name: &OsStr,
    path: &Path,
) -> Result<Vec<OwnedFd>, ChangesError> {
    let mut merged = Vec::new();
    for layer in lower {
        match open_directory(layer, name) {
            Ok(directory) => {
                let is_last = is_opaque(directory.as_fd());
                merged.push(directory);
                if is_last {
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            // A file or a whiteout hides what is below it.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(source) => {
                return Err(ChangesError::Layer {
                    attempt: "open",
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(merged)
}

/// A directory is copied up for what changed below it, which does not change itself.
fn is_same_directory(old: &Stat, new: &Stat) -> bool {
    FileType::from_raw_mode(old.st_mode) == FileType::Directory
        && (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
        && (old.st_mtime, old.st_mtime_nsec) == (new.st_mtime, new.st_mtime_nsec)
}

fn open_directory(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

fn stat(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
) -> Result<Option<Stat>, ChangesError> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        answer => answer.map(Some).map_err(|source| ChangesError::Layer {
            attempt: "look at",
            path: path.join(name),
            source,
        }),
    }
}

fn names(directory: &OwnedFd, path: &Path) -> Result<Vec<OsString>, ChangesError> {
    rooted::names(directory).map_err(|source| ChangesError::Layer {
        attempt: "list",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;

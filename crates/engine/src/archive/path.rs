//! Finds what a client's path means inside a root: links, trailing slashes and dots as Docker
//! takes them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use model::stream::PathStat;
use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Stat};
use rustix::io::Errno;

/// Links followed until a look-up is taken for a loop. Source: Go, `path/filepath`.
const MAX_LINKS: usize = 255;

/// A place in a root, held open.
#[derive(Debug)]
pub(super) struct Spot {
    /// The directory it is in, and its name there; the root itself is `.` in itself.
    pub(super) parent: OwnedFd,
    pub(super) name: OsString,
    /// Absolute path inside, without links on the way.
    pub(super) path: PathBuf,
    /// What an archive of it calls it.
    pub(super) shown_as: OsString,
    pub(super) stat: Stat,
    link_target: PathBuf,
}

/// What is at `path`. A link at the end of it is followed only if a slash or `/.` comes after.
pub(super) fn find(root: &Root, path: &str) -> Result<Spot, RootedError> {
    let asserts_directory = path.ends_with('/') || path.ends_with("/.") || path == ".";
    let clean = rooted::normalized(Path::new(path));
    let failed = |source| RootedError {
        attempt: "look at",
        path: PathBuf::from(path),
        source,
    };
    let absolute = match (clean.parent(), clean.file_name()) {
        (Some(parent), Some(name)) if !asserts_directory => resolved(root, parent)?.join(name),
        _ => resolved(root, &clean)?,
    };
    let (parent, name) = match absolute.file_name() {
        Some(_) => root.parent(&absolute)?,
        None => (root.resolve(Path::new("/"))?, OsString::from(".")),
    };
    let stat = fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if asserts_directory && kind != FileType::Directory {
        return Err(failed(Errno::NOTDIR));
    }
    let link_target = if kind == FileType::Symlink {
        followed(root, &absolute)?.path
    } else {
        PathBuf::new()
    };
    let last = clean
        .file_name()
        .map_or_else(|| OsString::from("/"), OsStr::to_owned);
    let shown_as = if path.ends_with("/.") || path == "." {
        OsString::from(".")
    } else {
        last
    };
    Ok(Spot {
        parent,
        name,
        path: absolute,
        shown_as,
        stat,
        link_target,
    })
}

impl Spot {
    pub(super) fn stat(&self) -> Result<PathStat, RootedError> {
        let seconds = self.stat.st_mtime;
        let nanoseconds = i32::try_from(self.stat.st_mtime_nsec).unwrap_or_default();
        let modified_at = Timestamp::new(seconds, nanoseconds);
        Ok(PathStat {
            name: self.shown_as.to_string_lossy().into_owned(),
            size_bytes: u64::try_from(self.stat.st_size).unwrap_or_default(),
            mode: self.stat.st_mode,
            modified_at: modified_at.unwrap_or(if seconds < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            }),
            link_target: self.link_target.to_string_lossy().into_owned(),
        })
    }
}

/// The absolute path, without any link, that `path` leads to.
pub(super) fn resolved(root: &Root, path: &Path) -> Result<PathBuf, RootedError> {
    let followed = followed(root, path)?;
    if followed.is_missing {
        return Err(RootedError {
            attempt: "look at",
            path: path.to_owned(),
            source: Errno::NOENT,
        });
    }
    Ok(followed.path)
}

struct Followed {
    path: PathBuf,
    /// Nothing is there; the rest of the path is as it was written.
    is_missing: bool,
}

/// Follows every link, as far as there is something.
fn followed(root: &Root, path: &Path) -> Result<Followed, RootedError> {
    let failed = |source| RootedError {
        attempt: "follow",
        path: Path::new("/").join(path),
        source,
    };
    let mut followed = Followed {
        path: PathBuf::from("/"),
        is_missing: false,
    };
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            followed.path.pop();
            continue;
        }
        let here = followed.path.join(&part);
        // What is found may change at once: this says how things looked, and nothing relies on it
        // to stay inside.
        let stat = if followed.is_missing {
            Err(Errno::NOENT)
        } else {
            root.stat(&here, false).map_err(|error| error.source)
        };
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(failed(Errno::LOOP));
                }
                let target = root.read_link(&here)?;
                if target.is_absolute() {
                    followed.path = PathBuf::from("/");
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
            }
            Ok(FileType::Directory) => followed.path = here,
            Ok(_) if !left.is_empty() => return Err(failed(Errno::NOTDIR)),
            Ok(_) => followed.path = here,
            Err(Errno::NOENT) => {
                followed.path = here;
                followed.is_missing = true;
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(followed)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

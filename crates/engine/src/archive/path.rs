//! Finds what a client's path means inside a root: links, trailing slashes and dots as Docker
//! takes them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use image::pack::Item;
use jiff::Timestamp;
use model::stream::PathStat;
use rooted::{Root, RootedError, followed, resolved};
use rustix::fs::{self, AtFlags, FileType, Stat};
use rustix::io::Errno;

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
    let trimmed = path.trim_end_matches('/');
    let shown_as = if trimmed.ends_with("/.") || trimmed == "." {
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
    /// The same, on its way into an archive.
    pub(super) fn item(&self) -> Item<'_> {
        // Docker's archive of the root has absolute names; its clients expect them.
        let archived: &[u8] = if self.shown_as == "/" {
            b""
        } else {
            self.shown_as.as_bytes()
        };
        Item {
            parent: self.parent.as_fd(),
            name: &self.name,
            path: &self.path,
            archived,
            stat: &self.stat,
        }
    }

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

//! Makes what an entry of an archive describes: node, content, owner, mode, attributes and times.
//!
//! Layers and archives for containers are written with it; where an entry goes is theirs to find.

use std::ffi::{CString, OsStr};
use std::io::{self, BufRead};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::archive::{ArchiveError, Entry, Extent, Kind, Reader, Time};
use crate::unpack::{UnpackError, failed};

/// Orders for overlayfs, which an archive has no say in.
const OVERLAY_XATTRS: &[u8] = b"trusted.overlay.";

/// Where an entry goes.
pub(crate) struct Spot<'a> {
    pub(crate) parent: BorrowedFd<'a>,
    pub(crate) name: &'a OsStr,
    /// For messages.
    pub(crate) path: &'a Path,
}

/// Makes the device or pipe that the entry describes; its owner and mode are still to be set.
pub(crate) fn make_node(spot: &Spot<'_>, entry: &Entry) -> Result<(), Errno> {
    let kind = match entry.kind {
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    let device = fs::makedev(entry.device.0, entry.device.1);
    fs::mknodat(
        spot.parent,
        spot.name,
        kind,
        Mode::from_raw_mode(0o600),
        device,
    )
}

pub(crate) const fn timestamps(mtime: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.seconds,
        tv_nsec: mtime.nanoseconds as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Sets what the entry says about an open file, its times last.
pub(crate) fn describe(
    file: BorrowedFd<'_>,
    path: &Path,
    entry: &Entry,
) -> Result<(), UnpackError> {
    describe_without_time(file, path, entry)?;
    Ok(fs::futimens(file, &timestamps(entry.mtime)).map_err(failed("set times of", path))?)
}

/// Whom an entry belongs to.
pub(crate) fn owner(path: &Path, entry: &Entry) -> Result<(Uid, Gid), UnpackError> {
    if entry.uid == u32::MAX || entry.gid == u32::MAX {
        return Err(UnpackError::Owner {
            path: path.to_owned(),
        });
    }
    Ok((Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
}

/// Owner before mode and capabilities: a change of owner clears these.
pub(crate) fn describe_without_time(
    file: BorrowedFd<'_>,
    path: &Path,
    entry: &Entry,
) -> Result<(), UnpackError> {
    let (owner, group) = owner(path, entry)?;
    fs::fchown(file, Some(owner), Some(group)).map_err(failed("set owner of", path))?;
    fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(failed("set mode of", path))?;
    set_xattrs(entry, path, |name, value| {
        fs::fsetxattr(file, name, value, XattrFlags::empty())
    })
}

/// The same for what cannot be opened: a link or a node.
pub(crate) fn describe_node(spot: &Spot<'_>, entry: &Entry) -> Result<(), UnpackError> {
    let Spot { parent, name, path } = *spot;
    let (owner, group) = owner(path, entry)?;
    fs::chownat(
        parent,
        name,
        Some(owner),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(failed("set owner of", path))?;
    if entry.kind != Kind::Symlink {
        // A container may have put a link in its place meanwhile, which must not be followed.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = fs::openat(parent, name, flags, Mode::empty()).map_err(failed("open", path))?;
        let kind = fs::fstat(&node).map_err(failed("look at", path))?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::Symlink {
            let host_path = format!("/proc/self/fd/{}", node.as_raw_fd());
            fs::chmod(host_path, Mode::from_raw_mode(entry.mode))
                .map_err(failed("set mode of", path))?;
        }
    }
    if !entry.xattrs.is_empty() {
        // There is no call for attributes relative to a directory; its own link in /proc is one.
        let mut host_path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
        host_path.push(name);
        set_xattrs(entry, path, |name, value| {
            fs::lsetxattr(&host_path, name, value, XattrFlags::empty())
        })?;
    }
    let times = timestamps(entry.mtime);
    Ok(
        fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set times of", path))?,
    )
}

fn set_xattrs(
    entry: &Entry,
    path: &Path,
    set: impl Fn(&CString, &[u8]) -> Result<(), Errno>,
) -> Result<(), UnpackError> {
    for (name, value) in &entry.xattrs {
        if name.starts_with(OVERLAY_XATTRS) {
            continue;
        }
        let bad_name = |_| UnpackError::Name {
            reason: "zero byte in attribute name",
            path: entry.path.clone(),
        };
        match set(&CString::new(name.clone()).map_err(bad_name)?, value) {
            // As Docker: a file system without them, and user attributes on links, are no reason to fail.
            Err(Errno::NOTSUP) => {
                tracing::debug!(path = %path.display(), "attribute not supported");
            }
            Err(Errno::PERM) if name.starts_with(b"user.") => {}
            answer => answer.map_err(failed("set attribute of", path))?,
        }
    }
    Ok(())
}

/// Which side of a copy failed.
pub(crate) enum CopyProblem {
    Read(io::Error),
    Write(io::Error),
}

impl CopyProblem {
    pub(crate) fn about(self, path: &Path) -> UnpackError {
        match self {
            Self::Read(error) => ArchiveError::from(error).into(),
            Self::Write(source) => UnpackError::Write {
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// Writes the content of the entry, holes where it has holes.
pub(crate) fn write_content<R: BufRead>(
    file: &OwnedFd,
    entry: &Entry,
    content: &mut Reader<R>,
) -> Result<(), CopyProblem> {
    let Some(extents) = &entry.extents else {
        return write_extent(
            file,
            Extent {
                offset: 0,
                length: entry.size,
            },
            content,
        );
    };
    fs::ftruncate(file, entry.size).map_err(|errno| CopyProblem::Write(errno.into()))?;
    for extent in extents {
        write_extent(file, *extent, content)?;
    }
    Ok(())
}

fn write_extent<R: BufRead>(
    file: &OwnedFd,
    extent: Extent,
    content: &mut Reader<R>,
) -> Result<(), CopyProblem> {
    let (mut offset, mut left) = (extent.offset, extent.length);
    while left > 0 {
        let buffer = content.fill_buf().map_err(CopyProblem::Read)?;
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if length == 0 {
            return Err(CopyProblem::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let written = match rustix::io::pwrite(file, &buffer[..length], offset) {
            Err(Errno::INTR) => continue,
            Ok(0) => return Err(CopyProblem::Write(io::ErrorKind::WriteZero.into())),
            answer => answer.map_err(|errno| CopyProblem::Write(errno.into()))?,
        };
        content.consume(written);
        offset += written as u64;
        left -= written as u64;
    }
    Ok(())
}

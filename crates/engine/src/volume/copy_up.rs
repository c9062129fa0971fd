//! Copies what an image has at a path into an empty volume: contents, owners, permissions, times,
//! extended attributes, links and devices.
//!
//! Both sides may be hostile: every step is relative to an open directory and follows no link.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rooted::Root;
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

/// How deep a tree may be before it is taken for an attack on our stack.
const MAX_DEPTH: u32 = 512;

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("copy {path}: {attempt}")]
pub(crate) struct CopyError {
    /// What was tried.
    attempt: &'static str,
    /// Path below the directory that was copied.
    path: PathBuf,
    source: Errno,
}

/// Whether nothing is in this directory.
pub(crate) fn is_empty(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies everything in `source`, and its own attributes, to the directory `target`.
pub(crate) fn copy_tree(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), CopyError> {
    let failed = |errno| CopyError {
        attempt: "open the volume",
        path: PathBuf::new(),
        source: errno,
    };
    let root = Root::from_fd(rustix::io::fcntl_dupfd_cloexec(target, 0).map_err(failed)?);
    let mut copy = Copy {
        root,
        links: HashMap::new(),
    };
    copy.directory(source, target, &PathBuf::new(), 0)
}

struct Copy {
    /// The directory that is copied to.
    root: Root,
    /// Files with several names that are copied already, by device and number.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn directory(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        path: &Path,
        depth: u32,
    ) -> Result<(), CopyError> {
        let failed = |attempt| {
            move |errno| CopyError {
                attempt,
                path: path.to_owned(),
                source: errno,
            }
        };
        if depth > MAX_DEPTH {
            return Err(failed("descend")(Errno::NAMETOOLONG));
        }
        let stat = fs::fstat(source).map_err(failed("look at it"))?;
        for entry in fs::Dir::read_from(source).map_err(failed("list it"))? {
            let entry = entry.map_err(failed("list it"))?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                let inner = path.join(OsStr::from_bytes(name.to_bytes()));
                self.entry(source, target, name, &inner, depth)?;
            }
        }
        attributes(source, target, &stat).map_err(failed("set its attributes"))
    }

    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: u32,
    ) -> Result<(), CopyError> {
        let failed = |attempt| {
            move |errno| CopyError {
                attempt,
                path: path.to_owned(),
                source: errno,
            }
        };
        let stat =
            fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at it"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return link(&self.root, first, target, name).map_err(failed("link it"));
            }
            self.links
                .insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        let no_follow = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => {
                fs::mkdirat(target, name, Mode::from_raw_mode(0o700)).map_err(failed("make it"))?;
                let open = |directory| {
                    fs::openat(
                        directory,
                        name,
                        no_follow | OFlags::DIRECTORY,
                        Mode::empty(),
                    )
                };
                let (from, to) = (
                    open(source).map_err(failed("open it"))?,
                    open(target).map_err(failed("open it"))?,
                );
                self.directory(from.as_fd(), to.as_fd(), path, depth + 1)
            }
            FileType::RegularFile => {
                let from = fs::openat(source, name, no_follow, Mode::empty())
                    .map_err(failed("open it"))?;
                let create = no_follow | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let to = fs::openat(target, name, create, Mode::from_raw_mode(0o600))
                    .map_err(failed("make it"))?;
                contents(&from, &to, &stat).map_err(failed("copy its contents"))?;
                attributes(from.as_fd(), to.as_fd(), &stat).map_err(failed("set its attributes"))
            }
            FileType::Symlink => {
                let points_to =
                    fs::readlinkat(source, name, Vec::new()).map_err(failed("read it"))?;
                fs::symlinkat(points_to.as_c_str(), target, name).map_err(failed("make it"))?;
                ownership_and_times(target, name, &stat).map_err(failed("set its attributes"))
            }
            FileType::BlockDevice | FileType::CharacterDevice | FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                fs::mknodat(target, name, kind, mode, stat.st_rdev).map_err(failed("make it"))?;
                ownership_and_times(target, name, &stat).map_err(failed("set its attributes"))?;
                fs::chmodat(target, name, mode, AtFlags::empty())
                    .map_err(failed("set its attributes"))
            }
            // A socket is nothing without the process that listens on it.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }
}

fn link(root: &Root, first: &Path, target: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let (parent, first_name) = root.parent(first).map_err(|error| error.source)?;
    fs::linkat(&parent, &first_name, target, name, AtFlags::empty())
}

/// Copies what is in a file and leaves its holes.
fn contents(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    fs::ftruncate(to, length)?;
    let mut at = 0;
    while at < length {
        let start = match fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        let end = fs::seek(from, SeekFrom::Hole(start))?;
        copy_range(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let wanted = usize::try_from(end - read_at)
            .unwrap_or(usize::MAX)
            .min(1 << 30);
        match fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => {
                return copy_by_buffer(from, to, read_at, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_by_buffer(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0_u8; 256 << 10];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = rustix::io::pread(from, &mut buffer[..wanted], at)?;
        if read == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < read {
            written += rustix::io::pwrite(to, &buffer[written..read], at + written as u64)?;
        }
        at += read as u64;
    }
    Ok(())
}

/// Owner first: changing it takes away set-user-id bits and file capabilities.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fs::fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    extended_attributes(from, to)?;
    fs::futimens(to, &times(stat))
}

fn ownership_and_times(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::chownat(
        directory,
        name,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    fs::utimensat(directory, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn extended_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match fs::flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        answer => answer?,
    };
    let mut value = vec![0_u8; 64 << 10];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // The overlay's own bookkeeping is about the layer, not about the file.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = fs::fgetxattr(from, name, &mut value[..])?;
        match fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_with_everything_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("sub/file"), "text").unwrap();
        std::fs::hard_link(from.join("sub/file"), from.join("same")).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        std::os::unix::fs::chown(from.join("sub/file"), Some(1234), Some(5678)).unwrap();
        std::fs::set_permissions(from.join("sub/file"), PermissionsExt::from_mode(0o4751)).unwrap();
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o1777)).unwrap();
        let sparse = std::fs::File::create(from.join("sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();

        let open = |path: &Path| {
            Root::open(path)
                .unwrap()
                .open_at(Path::new("."), OFlags::RDONLY, Mode::empty())
                .unwrap()
        };
        let (source, target) = (open(&from), open(&to));
        assert!(is_empty(target.as_fd()).unwrap());
        copy_tree(source.as_fd(), target.as_fd()).unwrap();

        let file = std::fs::metadata(to.join("sub/file")).unwrap();
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (1234, 5678, 0o4751)
        );
        assert_eq!(
            file.ino(),
            std::fs::metadata(to.join("same")).unwrap().ino()
        );
        assert_eq!(
            std::fs::read_link(to.join("link")).unwrap(),
            Path::new("/etc/passwd")
        );
        assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o7777, 0o1777);
        let sparse = std::fs::metadata(to.join("sparse")).unwrap();
        assert_eq!((sparse.len(), sparse.blocks()), (10 << 20, 0));
    }
}

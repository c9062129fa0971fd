//! Fills a new `tmpfs` with what its mount point holds (option `tmpcopyup`).
//!
//! Directories, files, links and permissions; nothing else is found below the places this is
//! asked for (`/run`, `/tmp`, `/var/log`).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Copies the content of one directory into another.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = fs::openat(from, ".", flags, Mode::empty())?;
    for entry in fs::Dir::read_from(&from)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let stat = fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                fs::mkdirat(to, name, mode)?;
                let source = fs::openat(&from, name, flags, Mode::empty())?;
                let target = fs::openat(to, name, flags, Mode::empty())?;
                copy(source.as_fd(), target.as_fd())?;
            }
            FileType::RegularFile => {
                let source = fs::openat(
                    &from,
                    name,
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = fs::openat(to, name, create, mode)?;
                while fs::sendfile(&target, &source, None, usize::from(u16::MAX))? > 0 {}
            }
            FileType::Symlink => {
                let target = fs::readlinkat(&from, name, Vec::new())?;
                fs::symlinkat(target.as_c_str(), to, name)?;
            }
            _ => continue,
        }
        let (uid, gid) = (
            fs::Uid::from_raw(stat.st_uid),
            fs::Gid::from_raw(stat.st_gid),
        );
        fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // Again, because the process's umask took bits away, and the change of owner did.
            fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
    }
    Ok(())
}

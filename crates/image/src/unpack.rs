//! Writes the tar of one layer into a directory, in the form that overlayfs stacks.
//!
//! Every path is resolved inside the directory, so an archive that climbs, names absolute paths or
//! writes through its own links stays in it, as with Docker's chroot. Whiteouts become what
//! overlayfs understands. The directory must be nobody else's meanwhile. Nothing is flushed: the
//! caller does that once for many layers.

use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::archive::{ArchiveError, Entry, Kind, Reader, Time};
use crate::entry::{
    Spot, describe, describe_node, describe_without_time, make_node, timestamps, write_content,
};

/// Before the name of a file of a lower layer that is to vanish.
const WHITEOUT: &[u8] = b".wh.";
/// Before names that are AUFS's own.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// In a directory whose lower layers are to vanish.
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// For directories on the way that the archive does not list.
pub(crate) const IMPLIED_MODE: Mode = Mode::from_raw_mode(0o755);

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The tar stream.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A path of it.
    #[error(transparent)]
    Path(#[from] RootedError),
    /// A name that nothing can have.
    #[error("{reason}: {}", path.display())]
    Name {
        /// What is wrong with it.
        reason: &'static str,
        /// As written in the archive.
        path: PathBuf,
    },
    /// An owner that nothing can have: the kernel would leave the one that is there, which is root.
    #[error("no user or group has this id: owner of {}", path.display())]
    Owner {
        /// The path inside the layer.
        path: PathBuf,
    },
    /// The stored bytes cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The path inside the layer.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl UnpackError {
    /// Nothing more fits on the disk.
    pub(crate) fn is_full_disk(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOSPC | Errno::DQUOT))
    }

    /// The host fails. Other answers of the kernel are about what the archive asks for: names too
    /// long, links in circles, attributes that this file system does not have.
    pub(crate) fn is_hosts(&self) -> bool {
        let is_hosts = |errno| {
            matches!(
                errno,
                Errno::IO | Errno::ROFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE
            )
        };
        self.is_full_disk() || self.errno().is_some_and(is_hosts)
    }

    /// What the kernel answered.
    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Path(error) => Some(error.source),
            Self::Write { source, .. } => Errno::from_io_error(source),
            Self::Archive(_) | Self::Name { .. } | Self::Owner { .. } => None,
        }
    }
}

/// Unpacks `input` into the existing, empty directory `dir`; answers the bytes of its files.
pub(crate) fn unpack(input: impl BufRead, dir: &Path) -> Result<u64, UnpackError> {
    let mut reader = Reader::new(input);
    let mut tree = Tree {
        root: Root::open(dir)?,
        parent: None,
        directories: Vec::new(),
    };
    let mut size_bytes = 0_u64;
    while let Some(entry) = reader.next_entry()? {
        tree.add(&entry, &mut reader)?;
        if entry.kind == Kind::File {
            size_bytes = size_bytes.saturating_add(entry.size);
        }
    }
    tree.finish()?;
    // What follows the end belongs to the layer's digest, so it is read as well.
    io::copy(&mut reader.into_inner(), &mut io::sink()).map_err(ArchiveError::from)?;
    Ok(size_bytes)
}

pub(crate) fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(Errno) -> RootedError {
    let path = path.to_owned();
    move |source| RootedError {
        attempt,
        path,
        source,
    }
}

/// The directory being filled.
struct Tree {
    root: Root,
    /// The directory that the last entry was in: archives list siblings together.
    parent: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Directories whose times are set last, for every entry in them changes these.
    directories: Vec<(PathBuf, Time)>,
}

impl Tree {
    fn add<R: BufRead>(
        &mut self,
        entry: &Entry,
        content: &mut Reader<R>,
    ) -> Result<(), UnpackError> {
        if entry.path.as_os_str().as_bytes().contains(&0)
            || entry.link.as_os_str().as_bytes().contains(&0)
        {
            return Err(UnpackError::Name {
                reason: "zero byte in name",
                path: entry.path.clone(),
            });
        }
        let path = rooted::normalized(&entry.path);
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            if entry.kind != Kind::Directory {
                return Err(UnpackError::Name {
                    reason: "the root must be a directory",
                    path: entry.path.clone(),
                });
            }
            let directory = self.root.open_at(
                Path::new(""),
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )?;
            return self.describe_directory(directory.as_fd(), &path, entry);
        };
        let parent = self.parent_of(&path)?;
        let spot = Spot {
            parent: parent.as_fd(),
            name: &name,
            path: &path,
        };
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.white_out(&spot, hidden, &entry.path);
        }
        match entry.kind {
            Kind::Directory => {
                let directory = self.directory(&spot)?;
                self.describe_directory(directory.as_fd(), &path, entry)
            }
            Kind::File => {
                let flags = OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::WRONLY
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = self.replacing(&spot, "create", || {
                    fs::openat(spot.parent, spot.name, flags, Mode::from_raw_mode(0o600))
                })?;
                write_content(&file, entry, content).map_err(|problem| problem.about(&path))?;
                describe(file.as_fd(), &path, entry)
            }
            Kind::HardLink => {
                let target = rooted::normalized(&entry.link);
                if target.file_name().is_none() {
                    return Err(UnpackError::Name {
                        reason: "hard link to the root",
                        path: entry.path.clone(),
                    });
                }
                let (directory, target_name) = self.root.parent(&target)?;
                self.replacing(&spot, "hard link", || {
                    fs::linkat(
                        &directory,
                        &target_name,
                        spot.parent,
                        spot.name,
                        AtFlags::empty(),
                    )
                })?;
                Ok(())
            }
            Kind::Symlink => {
                self.replacing(&spot, "symlink", || {
                    fs::symlinkat(&entry.link, spot.parent, spot.name)
                })?;
                describe_node(&spot, entry)
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                self.replacing(&spot, "make node", || make_node(&spot, entry))?;
                describe_node(&spot, entry)
            }
        }
    }

    /// The directory that holds `path`; it is made where the archive did not list it.
    fn parent_of(&mut self, path: &Path) -> Result<Rc<OwnedFd>, RootedError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if let Some((known, directory)) = &self.parent
            && known == parent
        {
            return Ok(Rc::clone(directory));
        }
        let directory = match self.root.create_dir_all(parent, IMPLIED_MODE) {
            Err(error) if error.source == Errno::NOTDIR => {
                self.replace_whiteouts(parent)?;
                self.root.create_dir_all(parent, IMPLIED_MODE)?
            }
            answer => answer?,
        };
        let directory = Rc::new(directory);
        self.parent = Some((parent.to_owned(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// Makes directories of the whiteouts on the way to `path`, opaque ones: what the archive lists
    /// below them is not listed as a directory itself.
    fn replace_whiteouts(&mut self, path: &Path) -> Result<(), RootedError> {
        let mut ancestors: Vec<&Path> = path
            .ancestors()
            .filter(|path| path.file_name().is_some())
            .collect();
        ancestors.reverse();
        for path in ancestors {
            match self.root.stat(path, false) {
                Ok(stat) if is_whiteout(&stat) => {
                    let (parent, name) = self.root.parent(path)?;
                    self.directory(&Spot {
                        parent: parent.as_fd(),
                        name: &name,
                        path,
                    })?;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Does `make`, and where something is in its place already, once more without it.
    fn replacing<T>(
        &mut self,
        spot: &Spot<'_>,
        attempt: &'static str,
        mut make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, RootedError> {
        match make() {
            Err(Errno::EXIST) => {
                self.remove(spot)?;
                make().map_err(failed(attempt, spot.path))
            }
            answer => answer.map_err(failed(attempt, spot.path)),
        }
    }

    fn remove(&mut self, spot: &Spot<'_>) -> Result<(), RootedError> {
        // What was removed may have been on the way to the remembered directory.
        self.parent = None;
        rooted::remove_entry(spot.parent, spot.name).map_err(failed("replace", spot.path))
    }

    /// The directory at `spot`; one that is there is kept, anything else is replaced.
    fn directory(&mut self, spot: &Spot<'_>) -> Result<OwnedFd, RootedError> {
        let make = || fs::mkdirat(spot.parent, spot.name, IMPLIED_MODE);
        let mut hides_lower = false;
        if let Err(errno) = make() {
            if errno != Errno::EXIST {
                return Err(failed("make directory", spot.path)(errno));
            }
            let stat = fs::statat(spot.parent, spot.name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("look at", spot.path))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                hides_lower = is_whiteout(&stat);
                self.remove(spot)?;
                make().map_err(failed("make directory", spot.path))?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat(spot.parent, spot.name, flags, Mode::empty())
            .map_err(failed("open", spot.path))?;
        if hides_lower {
            make_opaque(directory.as_fd(), spot.path)?;
        }
        Ok(directory)
    }

    /// Hides what lower layers have; what this layer has at the same path stays.
    fn white_out(
        &mut self,
        spot: &Spot<'_>,
        hidden: &[u8],
        written: &Path,
    ) -> Result<(), UnpackError> {
        if spot.name.as_bytes() == OPAQUE {
            let directory = spot.path.parent().unwrap_or(Path::new(""));
            let opened =
                self.root
                    .open_at(directory, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            return Ok(make_opaque(opened.as_fd(), directory)?);
        }
        if spot.name.as_bytes().starts_with(WHITEOUT_META) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(UnpackError::Name {
                reason: "whiteout of no name",
                path: written.to_owned(),
            });
        }
        let name = OsStr::from_bytes(hidden);
        let path = spot.path.with_file_name(name);
        match fs::mknodat(
            spot.parent,
            name,
            FileType::CharacterDevice,
            Mode::empty(),
            fs::makedev(0, 0),
        ) {
            Err(Errno::EXIST) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match fs::openat(spot.parent, name, flags, Mode::empty()) {
                    Ok(directory) => Ok(make_opaque(directory.as_fd(), &path)?),
                    Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                    Err(errno) => Err(failed("open", &path)(errno).into()),
                }
            }
            answer => Ok(answer.map_err(failed("make whiteout", &path))?),
        }
    }

    fn describe_directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &Path,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        describe_without_time(directory, path, entry)?;
        self.directories.push((path.to_owned(), entry.mtime));
        Ok(())
    }

    /// Sets the times of the directories that are still there.
    fn finish(self) -> Result<(), RootedError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, mtime) in self.directories.iter().rev() {
            let opened = match path.file_name() {
                None => {
                    self.root
                        .open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?
                }
                Some(name) => {
                    let Ok(parent) = self.root.resolve(path.parent().unwrap_or(Path::new("")))
                    else {
                        continue;
                    };
                    match fs::openat(&parent, name, flags, Mode::empty()) {
                        Ok(directory) => directory,
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                        Err(errno) => return Err(failed("open", path)(errno)),
                    }
                }
            };
            fs::futimens(&opened, &timestamps(*mtime)).map_err(failed("set times of", path))?;
        }
        Ok(())
    }
}

fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn make_opaque(directory: BorrowedFd<'_>, path: &Path) -> Result<(), RootedError> {
    fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .map_err(failed("make opaque", path))
}

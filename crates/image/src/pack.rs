//! Writes what is in a root as a tar stream, in the form that Docker's archives have: ustar with
//! PAX records where it is too narrow, times in whole seconds, hard links by name, and of the
//! extended attributes the file capabilities.
//!
//! File systems mounted inside are left out, but those that a user mounted: a container's `/proc`
//! is no part of its files. The engine packs what is copied out of instances and their layers, the
//! builder what it copies into images.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::id_range::IDS;
use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

/// How deep directories may be nested: each level holds a descriptor.
const MAX_DEPTH: usize = 512;

/// Bytes that a name has room for in a header.
const NAME_BYTES: usize = 100;

/// Begins the name of a file that stands for one that is gone.
const WHITEOUT: &[u8] = b".wh.";
/// In a directory that hides all that lower layers have in its place.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Marks such a directory in an overlay.
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// The kernel's overflow id, by which others' files are seen in a user namespace.
const NOBODY: u32 = 65_534;

const CAPABILITY: &CStr = c"security.capability";

/// Why an archive could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something cannot be read.
    #[error("archive {}", path.display())]
    Read {
        /// The path inside.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Directories in directories in directories.
    #[error("archive {}: directories are nested deeper than {MAX_DEPTH}", path.display())]
    TooDeep {
        /// The path inside.
        path: PathBuf,
    },
    /// Whoever reads the archive is gone.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// A path.
    #[error(transparent)]
    Path(#[from] RootedError),
}

/// What is written otherwise than it is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Absolute paths of what users mounted.
    pub mounts: Vec<PathBuf>,
    /// Taken from every user and group id.
    pub first_id: u32,
    /// It is the writable layer of an overlay, whose marks become those of image layers.
    ///
    /// Source: OCI Image Layer Filesystem Changeset, "Whiteouts" and "Opaque Whiteout".
    pub is_layer: bool,
    /// Whom everything belongs to.
    pub owner: Option<(u32, u32)>,
    /// The permission bits of all but links.
    pub mode: Option<u32>,
}

/// Says of a path, and whether it is a directory, whether it is left out.
pub type LeaveOut<'a> = dyn Fn(&Path, bool) -> bool + 'a;

/// Writes one archive.
pub struct Packer<W: Write> {
    archive: Builder<W>,
    options: Options,
    /// Archived names of files that have several, by device and number.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

/// One directory entry on its way into the archive.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The directory that it is in.
    pub parent: BorrowedFd<'a>,
    /// What it is called there.
    pub name: &'a OsStr,
    /// Absolute path inside its root.
    pub path: &'a Path,
    /// What the archive calls it.
    pub archived: &'a [u8],
    /// What it is.
    pub stat: &'a Stat,
}

impl<W: Write> Packer<W> {
    /// Writes to `out`.
    pub fn new(out: W, options: Options) -> Self {
        Self {
            archive: Builder::new(out),
            options,
            linked: HashMap::new(),
        }
    }

    /// What is added from now on is written so.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Adds one entry, with everything below it.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add(&mut self, item: &Item<'_>) -> Result<(), PackError> {
        self.add_item(item, 0, &|_, _| false)
    }

    /// As [`Packer::add`], but for what is left out.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_but(&mut self, item: &Item<'_>, leave_out: &LeaveOut<'_>) -> Result<(), PackError> {
        self.add_item(item, 0, leave_out)
    }

    /// Adds what is in a directory, below a name of the archive; not the directory itself.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_content(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
        archived: Option<&[u8]>,
        leave_out: &LeaveOut<'_>,
    ) -> Result<(), PackError> {
        self.add_entries(directory, path, archived, 0, leave_out)
    }

    /// Adds a directory as it is, without what is in it, whatever the options say.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_bare_directory(&mut self, item: &Item<'_>) -> Result<(), PackError> {
        let mut header = header(item.stat, EntryType::Directory);
        header.set_uid(item.stat.st_uid.into());
        header.set_gid(item.stat.st_gid.into());
        self.write_named(
            item,
            &mut header,
            &[item.archived, b"/"].concat(),
            b"",
            None,
        )
    }

    /// Adds everything in a root, but not the root itself.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_root(&mut self, root: &Root) -> Result<(), PackError> {
        let directory = root.open_at(
            Path::new("/"),
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
        )?;
        self.add_entries(&directory, Path::new("/"), None, 0, &|_, _| false)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When whoever reads it is gone.
    pub fn finish(mut self) -> Result<(), PackError> {
        self.archive.finish().map_err(PackError::Write)
    }

    fn add_item(
        &mut self,
        item: &Item<'_>,
        depth: usize,
        leave_out: &LeaveOut<'_>,
    ) -> Result<(), PackError> {
        if self.options.is_layer && is_whiteout(item.stat) {
            let (parent, name) = item.archived.split_at(
                item.archived
                    .iter()
                    .rposition(|byte| *byte == b'/')
                    .map_or(0, |slash| slash + 1),
            );
            return self.write_mark(item, &[parent, WHITEOUT, name].concat());
        }
        match FileType::from_raw_mode(item.stat.st_mode) {
            FileType::Directory => self.add_directory(item, depth, leave_out),
            FileType::RegularFile => self.add_file(item),
            FileType::Symlink => {
                let target =
                    fs::readlinkat(item.parent, item.name, Vec::new()).map_err(item.failed())?;
                let mut header = header(item.stat, EntryType::Symlink);
                self.write_header(item, &mut header, item.archived, target.as_bytes(), None)
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
                let kind = match kind {
                    FileType::CharacterDevice => EntryType::Char,
                    FileType::BlockDevice => EntryType::Block,
                    _ => EntryType::Fifo,
                };
                let mut header = self.header(item.stat, kind);
                if kind != EntryType::Fifo {
                    let device = item.stat.st_rdev;
                    // A ustar header has these fields.
                    drop(header.set_device_major(fs::major(device)));
                    drop(header.set_device_minor(fs::minor(device)));
                }
                self.write_header(item, &mut header, item.archived, b"", None)
            }
            // A socket is nothing without its process, and tar has no word for it.
            _ => Ok(()),
        }
    }

    fn add_directory(
        &mut self,
        item: &Item<'_>,
        depth: usize,
        leave_out: &LeaveOut<'_>,
    ) -> Result<(), PackError> {
        if depth > MAX_DEPTH {
            return Err(PackError::TooDeep {
                path: item.path.to_owned(),
            });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match fs::openat(item.parent, item.name, flags, Mode::empty()) {
            // It was removed or replaced since it was looked at.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            answer => answer.map_err(item.failed())?,
        };
        let mut name = item.archived.to_vec();
        name.push(b'/');
        self.write_header(
            item,
            &mut self.header(item.stat, EntryType::Directory),
            &name,
            b"",
            None,
        )?;
        if self.options.is_layer && is_opaque(directory.as_fd()) {
            self.write_mark(item, &[&name, OPAQUE].concat())?;
        }
        if depth > 0 && self.is_foreign(&directory, item.path) {
            return Ok(());
        }
        self.add_entries(&directory, item.path, Some(item.archived), depth, leave_out)
    }

    /// An empty file whose name says what is gone.
    fn write_mark(&mut self, item: &Item<'_>, name: &[u8]) -> Result<(), PackError> {
        let mut header = header(item.stat, EntryType::Regular);
        header.set_mode(0);
        self.write_header(item, &mut header, name, b"", None)
    }

    fn add_entries(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
        archived: Option<&[u8]>,
        depth: usize,
        leave_out: &LeaveOut<'_>,
    ) -> Result<(), PackError> {
        let failed = |errno: Errno| PackError::Read {
            path: path.to_owned(),
            source: errno.into(),
        };
        for name in rooted::names(directory).map_err(failed)? {
            let stat = match fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                answer => answer.map_err(failed)?,
            };
            let mut below = archived.map_or_else(Vec::new, |archived| [archived, b"/"].concat());
            below.extend_from_slice(name.as_bytes());
            let path = path.join(&name);
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if leave_out(&path, is_directory) {
                continue;
            }
            let item = Item {
                parent: directory.as_fd(),
                name: &name,
                path: &path,
                archived: &below,
                stat: &stat,
            };
            self.add_item(&item, depth + 1, leave_out)?;
        }
        Ok(())
    }

    /// Whether another file system begins here, and no user mounted it.
    fn is_foreign(&self, directory: &OwnedFd, path: &Path) -> bool {
        let is_wanted = self
            .options
            .mounts
            .iter()
            .any(|mount| path.starts_with(mount));
        !is_wanted
            && fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
                .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    fn add_file(&mut self, item: &Item<'_>) -> Result<(), PackError> {
        if item.stat.st_nlink > 1 {
            let identity = (item.stat.st_dev, item.stat.st_ino);
            if let Some(first) = self.linked.get(&identity).cloned() {
                let mut header = self.header(item.stat, EntryType::Link);
                return self.write_header(item, &mut header, item.archived, &first, None);
            }
            self.linked.insert(identity, item.archived.to_vec());
        }
        let Some((file, stat)) = open_file(item)? else {
            return Ok(());
        };
        let capability = capability(&file).map_err(item.failed())?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut header = self.header(&stat, EntryType::Regular);
        header.set_size(size);
        self.write_header(item, &mut header, item.archived, b"", capability.as_deref())?;
        self.write_content(file.into(), size)
            .map_err(|problem| match problem {
                Problem::Read(source) => PackError::Read {
                    path: item.path.to_owned(),
                    source,
                },
                Problem::Write(source) => PackError::Write(source),
            })
    }

    /// Writes exactly `size` bytes: a file may shrink or grow while it is read.
    fn write_content(&mut self, mut file: File, size: u64) -> Result<(), Problem> {
        let out = self.archive.get_mut();
        let mut buffer = vec![0; 64 << 10];
        let padded = size.next_multiple_of(512);
        let (mut written, mut at_end) = (0, false);
        while written < padded {
            let wanted = usize::try_from(padded - written)
                .map_or(buffer.len(), |left| left.min(buffer.len()));
            let mut length = 0;
            if !at_end && written < size {
                let limit = usize::try_from(size - written).map_or(wanted, |left| left.min(wanted));
                length = match file.read(&mut buffer[..limit]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    answer => answer.map_err(Problem::Read)?,
                };
                at_end = length == 0;
            }
            if length == 0 {
                buffer[..wanted].fill(0);
                length = wanted;
            }
            out.write_all(&buffer[..length]).map_err(Problem::Write)?;
            written += length as u64;
        }
        Ok(())
    }

    /// What an id is inside; one that is not the container's is nobody's there.
    fn inside(&self, id: u32) -> u32 {
        if self.options.first_id == 0 {
            return id;
        }
        id.checked_sub(self.options.first_id)
            .filter(|inside| *inside < IDS)
            .unwrap_or(NOBODY)
    }

    fn header(&self, stat: &Stat, kind: EntryType) -> Header {
        let mut header = header(stat, kind);
        if let Some(mode) = self.options.mode.filter(|_| kind != EntryType::Symlink) {
            header.set_mode(mode);
        }
        header
    }

    fn write_header(
        &mut self,
        item: &Item<'_>,
        header: &mut Header,
        name: &[u8],
        link: &[u8],
        capability: Option<&[u8]>,
    ) -> Result<(), PackError> {
        let own = (self.inside(item.stat.st_uid), self.inside(item.stat.st_gid));
        let (user, group) = self.options.owner.unwrap_or(own);
        header.set_uid(user.into());
        header.set_gid(group.into());
        self.write_named(item, header, name, link, capability)
    }

    fn write_named(
        &mut self,
        item: &Item<'_>,
        header: &mut Header,
        name: &[u8],
        link: &[u8],
        capability: Option<&[u8]>,
    ) -> Result<(), PackError> {
        let has_zero = |text: &[u8]| text.contains(&0);
        if has_zero(name) || has_zero(link) {
            return Err(item.failed()(Errno::INVAL));
        }
        let mut records: Vec<(&str, &[u8])> = Vec::new();
        if name.len() > NAME_BYTES {
            records.push(("path", name));
        }
        if link.len() > NAME_BYTES {
            records.push(("linkpath", link));
        }
        if let Some(capability) = capability {
            records.push(("SCHILY.xattr.security.capability", capability));
        }
        if !records.is_empty() {
            self.archive
                .append_pax_extensions(records)
                .map_err(PackError::Write)?;
        }
        let fields = header.as_old_mut();
        let (name, link) = (
            &name[..name.len().min(NAME_BYTES)],
            &link[..link.len().min(NAME_BYTES)],
        );
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.archive
            .get_mut()
            .write_all(header.as_bytes())
            .map_err(PackError::Write)
    }
}

enum Problem {
    Read(io::Error),
    Write(io::Error),
}

impl Item<'_> {
    fn failed(&self) -> impl FnOnce(Errno) -> PackError + use<> {
        let path = self.path.to_owned();
        move |errno| PackError::Read {
            path,
            source: errno.into(),
        }
    }
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

/// An overlay's mark that what lower layers have under this name is gone.
#[must_use]
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// An overlay's mark that a directory hides all that lower layers have in its place.
#[must_use]
pub fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    fs::fgetxattr(directory, OPAQUE_XATTR, &mut value)
        .is_ok_and(|length| length == 1 && value[0] == b'y')
}

/// Opens a file only once it is known to be one: a container may have put a device in its place.
fn open_file(item: &Item<'_>) -> Result<Option<(OwnedFd, Stat)>, PackError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match fs::openat(item.parent, item.name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        answer => answer.map_err(item.failed())?,
    };
    let stat = fs::fstat(&handle).map_err(item.failed())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let host_path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let file = fs::open(host_path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(item.failed())?;
    Ok(Some((file, stat)))
}

/// The file's capabilities, as the kernel keeps them.
fn capability(file: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    // Three words and a user id at most. Source: linux/capability.h, `vfs_ns_cap_data`.
    let mut value = [0; 64];
    match fs::fgetxattr(file, CAPABILITY, &mut value) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

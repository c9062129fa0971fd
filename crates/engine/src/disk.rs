//! Disks: the files behind volumes that have a size, and behind snapshots.
//!
//! A disk is a sparse file with an ext4 file system, which `e2fsprogs` make, check and resize. It is
//! complete or not there at all: what is being made has another name. [`crate::volume`] decides what
//! is to be there; [`runtime::disk`] mounts.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::Id;
use model::instance::FailureKind;
use runtime::disk::Disk;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::directory::Directories;

/// Where the programs of `e2fsprogs` are looked for.
const PROGRAMS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Where ext4 has its superblock, and in it the number of blocks, in two halves, and their size.
/// Source: the kernel's `Documentation/filesystems/ext4/super.rst`.
const SUPERBLOCK: u64 = 1024;
const BLOCKS_LOW: usize = 0x4;
const LOG_BLOCK_SIZE: usize = 0x18;
const MAGIC: usize = 0x38;
const BLOCKS_HIGH: usize = 0x150;

/// Why a disk could not be made, resized or copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("{attempt} {path}")]
    Files {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("run {program}, of the package e2fsprogs")]
    Missing {
        program: &'static str,
        source: io::Error,
    },
    #[error("{program} {path}: {words}")]
    Program {
        program: &'static str,
        path: PathBuf,
        words: String,
    },
    #[error("{path} holds no file system")]
    NoFileSystem { path: PathBuf },
    #[error("the disk {path} is in use")]
    Busy { path: PathBuf },
    #[error("what the disk is to be a copy of is gone: {path}")]
    NoSource { path: PathBuf },
    #[error(transparent)]
    Mount(#[from] runtime::disk::DiskError),
}

impl DiskError {
    /// Whether the request, its time or the node is at fault.
    pub(crate) const fn kind(&self) -> FailureKind {
        match self {
            Self::Busy { .. } | Self::Mount(runtime::disk::DiskError::NotPrivileged) => {
                FailureKind::Conflict
            }
            Self::NoSource { .. } => FailureKind::NotFound,
            Self::Files { .. }
            | Self::Missing { .. }
            | Self::Program { .. }
            | Self::NoFileSystem { .. }
            | Self::Mount(_) => FailureKind::Internal,
        }
    }
}

/// Bytes of so many GiB.
pub(crate) fn bytes(size_gib: u32) -> u64 {
    u64::from(size_gib) << 30
}

/// Makes a disk, unless it is there. `fill` gets the file that it is to be, empty and large enough;
/// nobody else may be at the same one.
pub(crate) fn ensure<E: From<DiskError>>(
    directories: &Directories,
    id: Id,
    size_bytes: u64,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let path = directories.disk(id);
    if path.exists() {
        return Ok(());
    }
    let new = path.with_extension("new");
    let failed = |attempt| files(attempt, &new);
    // It may be what an earlier attempt has left.
    let file = File::create(&new).map_err(failed("make"))?;
    let made = (|| {
        file.set_len(size_bytes).map_err(failed("make room in"))?;
        fill(&new)?;
        file.sync_all().map_err(failed("flush"))?;
        std::fs::rename(&new, &path).map_err(failed("rename"))?;
        let parent = File::open(directories.disks()).map_err(failed("open the directory of"))?;
        let flushed = parent.sync_all();
        Ok(flushed.map_err(failed("flush the directory of"))?)
    })();
    if made.is_err() {
        // The first failure is the one to tell of.
        drop(std::fs::remove_file(&new));
    }
    made
}

/// Puts an empty file system into a file.
pub(crate) fn format(path: &Path) -> Result<(), DiskError> {
    let arguments = [
        "-q",
        "-F",
        "-m0",
        "-b4096",
        // The file has nothing but holes, which are read as zeros.
        "-Enodiscard,assume_storage_prezeroed=1",
    ];
    run("mkfs.ext4", &arguments.map(OsStr::new), path, &[], &[0])?;
    finish(path)
}

/// Makes the root directory of a new file system what that of a directory would be.
fn finish(path: &Path) -> Result<(), DiskError> {
    let root = mounted(path)?;
    let failed = |attempt| move |errno: Errno| files(attempt, path)(errno.into());
    match fs::unlinkat(&root, "lost+found", AtFlags::REMOVEDIR) {
        // Something was found.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(failed("tidy")(errno)),
    }
    fs::syncfs(&root).map_err(failed("flush"))
}

/// The root directory of a disk, by a mount that ends with it.
pub(crate) fn mounted(path: &Path) -> Result<OwnedFd, DiskError> {
    let mount = Disk::open(path)?.mount(false)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(&mount, ".", flags, Mode::empty())
        .map_err(|errno| files("look into", path)(errno.into()))
}

/// Makes a disk as large as it is to be; one that is larger stays so.
pub(crate) fn grow(path: &Path, size_bytes: u64) -> Result<(), DiskError> {
    if file_system_bytes(path)? >= size_bytes {
        return Ok(());
    }
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(files("open", path))?;
    let length = file.metadata().map_err(files("look at", path))?.len();
    if length < size_bytes {
        file.set_len(size_bytes)
            .map_err(files("make room in", path))?;
    }
    let used = Disk::find(path)?;
    let grown = match &used {
        Some(disk) => disk
            .follow_size()
            .and_then(|()| disk.grow(size_bytes))
            .map_err(DiskError::from),
        None => grow_unused(path),
    };
    if grown.is_err() && length < size_bytes {
        // What was not reached is not promised.
        file.set_len(length)
            .map_err(files("take room from", path))?;
        if let Some(disk) = used {
            disk.follow_size()?;
        }
    }
    grown
}

fn grow_unused(path: &Path) -> Result<(), DiskError> {
    // 1 is that errors were found, and mended.
    run("e2fsck", &["-f", "-p"].map(OsStr::new), path, &[], &[0, 1])?;
    run("resize2fs", &[], path, &[], &[0])?;
    finish(path)
}

/// Makes a file a copy of a disk, as that is at one moment.
pub(crate) fn copy(source: &Path, target: &Path) -> Result<(), DiskError> {
    let from = match File::open(source) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DiskError::NoSource {
                path: source.to_owned(),
            });
        }
        Err(error) => return Err(files("open", source)(error)),
    };
    let to = OpenOptions::new()
        .write(true)
        .open(target)
        .map_err(files("open", target))?;
    // Whoever mounts it meanwhile may read, and waits with writing.
    let disk = Disk::open(source)?;
    let _frozen = disk.freeze()?;
    match fs::ioctl_ficlone(&to, &from) {
        Ok(()) => return Ok(()),
        // Not between these two, or not with this file system.
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY) => {}
        Err(errno) => return Err(files("clone", source)(errno.into())),
    }
    copy_data(&from, &to).map_err(files("copy", source))
}

/// Copies what is no hole.
fn copy_data(from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0;
    loop {
        let start = match fs::seek(from, fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            // There is nothing but a hole.
            Err(Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let end = fs::seek(from, fs::SeekFrom::Hole(start))?;
        let (mut read, mut written) = (start, start);
        while read < end {
            let rest = usize::try_from(end - read).unwrap_or(usize::MAX);
            let copied = fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), rest)?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        at = end;
    }
}

/// Removes a disk; a missing one is no error.
pub(crate) fn remove(directories: &Directories, id: Id) -> Result<(), DiskError> {
    let path = directories.disk(id);
    if path.exists() && Disk::find(&path)?.is_some() {
        return Err(DiskError::Busy { path });
    }
    for path in [path.with_extension("new"), path] {
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files("remove", &path)(error)),
        }
    }
    Ok(())
}

/// Lets writes go on that a daemon which died has held up.
pub(crate) fn thaw_all(directories: &Directories) -> Result<(), DiskError> {
    for path in runtime::disk::used_in(&directories.disks())? {
        if let Some(disk) = Disk::find(&path)? {
            disk.thaw()?;
        }
    }
    Ok(())
}

/// How large the file system in a file is.
fn file_system_bytes(path: &Path) -> Result<u64, DiskError> {
    let mut superblock = [0; 1024];
    let mut file = File::open(path).map_err(files("open", path))?;
    file.seek(SeekFrom::Start(SUPERBLOCK))
        .and_then(|_| file.read_exact(&mut superblock))
        .map_err(files("read", path))?;
    size_of_file_system(&superblock).ok_or_else(|| DiskError::NoFileSystem {
        path: path.to_owned(),
    })
}

fn size_of_file_system(superblock: &[u8; 1024]) -> Option<u64> {
    let number = |at: usize| {
        let bytes = superblock.get(at..at + 4)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    if superblock.get(MAGIC..MAGIC + 2)? != [0x53, 0xef] {
        return None;
    }
    let blocks = number(BLOCKS_LOW)? | (number(BLOCKS_HIGH)? << 32);
    blocks.checked_mul(1024_u64.checked_shl(u32::try_from(number(LOG_BLOCK_SIZE)?).ok()?)?)
}

fn run(
    program: &'static str,
    before: &[&OsStr],
    path: &Path,
    after: &[&OsStr],
    fine: &[i32],
) -> Result<(), DiskError> {
    let output = Command::new(program)
        .env("PATH", PROGRAMS)
        .env("LC_ALL", "C")
        .args(before)
        .arg(path)
        .args(after)
        .output()
        .map_err(|source| DiskError::Missing { program, source })?;
    if output
        .status
        .code()
        .is_some_and(|code| fine.contains(&code))
    {
        return Ok(());
    }
    let words = [output.stderr, output.stdout].concat();
    Err(DiskError::Program {
        program,
        path: path.to_owned(),
        words: String::from_utf8_lossy(&words).trim().replace('\n', "; "),
    })
}

fn files<'path>(
    attempt: &'static str,
    path: &'path Path,
) -> impl Fn(io::Error) -> DiskError + use<'path> {
    move |source| DiskError::Files {
        attempt,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const MIB: u64 = 1 << 20;

    fn directories() -> (tempfile::TempDir, Directories) {
        let data = tempfile::tempdir().unwrap();
        let directories = Directories::below(data.path());
        directories.make().unwrap();
        (data, directories)
    }

    fn read(path: &Path, name: &str) -> String {
        let root = mounted(path).unwrap();
        let file = fs::openat(&root, name, OFlags::RDONLY, Mode::empty()).unwrap();
        io::read_to_string(File::from(file)).unwrap()
    }

    fn write(path: &Path, name: &str, text: &str) {
        let root = mounted(path).unwrap();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let file = fs::openat(&root, name, flags, Mode::from_raw_mode(0o644)).unwrap();
        io::Write::write_all(&mut File::from(file), text.as_bytes()).unwrap();
    }

    #[test]
    fn a_disk_is_empty_sparse_and_grows_with_what_it_holds() {
        let (_data, directories) = directories();
        let id = Id::random();
        let path = directories.disk(id);
        ensure(&directories, id, 64 * MIB, format).unwrap();
        ensure(&directories, id, 64 * MIB, |_| -> Result<(), DiskError> {
            unreachable!()
        })
        .unwrap();
        let root = mounted(&path).unwrap();
        assert_eq!(fs::Dir::read_from(&root).unwrap().count(), 2, ". and ..");
        drop(root);
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 8 * MIB);
        write(&path, "file", "kept");
        grow(&path, 128 * MIB).unwrap();
        grow(&path, 128 * MIB).unwrap();
        assert_eq!(file_system_bytes(&path).unwrap(), 128 * MIB);
        assert_eq!(read(&path, "file"), "kept");
        remove(&directories, id).unwrap();
        remove(&directories, id).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_removed_inside_gives_its_room_back() {
        let (_data, directories) = directories();
        let id = Id::random();
        let path = directories.disk(id);
        ensure(&directories, id, 64 * MIB, format).unwrap();
        let root = mounted(&path).unwrap();
        let taken = || std::fs::metadata(&path).unwrap().blocks() * 512;
        write(&path, "file", &"x".repeat(16 << 20));
        fs::syncfs(&root).unwrap();
        assert!(taken() > 16 * MIB);
        fs::unlinkat(&root, "file", AtFlags::empty()).unwrap();
        // The file system gives blocks back behind its journal's writes.
        while taken() > 16 * MIB {
            fs::syncfs(&root).unwrap();
        }
    }

    #[test]
    fn a_copy_of_a_used_disk_is_of_one_moment() {
        let (_data, directories) = directories();
        let (one, two) = (Id::random(), Id::random());
        let path = directories.disk(one);
        ensure(&directories, one, 64 * MIB, format).unwrap();
        let in_use = mounted(&path).unwrap();
        write(&path, "file", "before");
        ensure(&directories, two, 64 * MIB, |new| copy(&path, new)).unwrap();
        write(&path, "file", "after");
        assert_eq!(read(&directories.disk(two), "file"), "before");
        assert!(matches!(
            remove(&directories, one),
            Err(DiskError::Busy { .. })
        ));
        drop(in_use);
        // Programs that other tests start hold what is open here until they run.
        while let Err(error) = remove(&directories, one) {
            assert!(matches!(error, DiskError::Busy { .. }), "{error}");
        }
        let gone = ensure(&directories, one, 64 * MIB, |new| {
            copy(&directories.disk(Id::random()), new)
        });
        assert!(matches!(gone, Err(DiskError::NoSource { .. })));
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn what_was_frozen_by_who_died_thaws() {
        let (_data, directories) = directories();
        let id = Id::random();
        let path = directories.disk(id);
        ensure(&directories, id, 64 * MIB, format).unwrap();
        std::mem::forget(Disk::open(&path).unwrap().freeze().unwrap());
        thaw_all(&directories).unwrap();
        write(&path, "file", "goes on");
    }

    #[test]
    fn what_is_no_file_system_has_no_size() {
        assert_eq!(size_of_file_system(&[0; 1024]), None);
    }
}

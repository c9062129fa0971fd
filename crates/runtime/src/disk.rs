//! A file that holds an ext4 file system, and mounts of it that are attached nowhere.
//!
//! A loop device stands between the two. It is found again by the file behind it, so that everybody
//! who mounts one file shares one device and one file system, also after a restart; and the kernel
//! takes it away with its last user. Nothing is mounted on the host, so nothing can be left there.
//! The engine calls this for volumes with a size; making and checking file systems is its business.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::mounts::MountError;
use crate::mounts::filesystem::FileSystem;
use crate::sys::block;

/// The file system of every disk.
pub const KIND: &str = "ext4";
/// What every mount of a disk is mounted with: blocks that are freed inside are freed outside, too,
/// and devices have no place in it.
pub const OPTIONS: [&str; 2] = ["discard", "nodev"];
/// Bytes that a loop device reads and writes at once: those of a block of the file system.
const BLOCK_BYTES: u32 = 4096;
/// How often another device is tried where somebody else was faster.
const TRIES: usize = 64;
/// The major number of loop devices.
const LOOP_MAJOR: u32 = 7;

/// Why a disk could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file, or a device, cannot be opened or looked at.
    #[error("{attempt} {}", path.display())]
    Files {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// No loop device is to be had.
    #[error("find a loop device for {}", .0.display())]
    NoDevice(PathBuf),
    /// What is in the file cannot be mounted.
    #[error("mount the file system in {}", image.display())]
    Mount {
        /// The file.
        image: PathBuf,
        /// Why.
        source: Unmountable,
    },
    /// A file system grows while it is mounted only for who has `CAP_SYS_RESOURCE`.
    #[error(
        "it cannot be extended while it is in use, as its node lacks CAP_SYS_RESOURCE; detach it first"
    )]
    NotPrivileged,
}

/// Why the kernel did not mount.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unmountable(#[from] MountError);

/// A file with a loop device, held so that the device does not vanish.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    path: PathBuf,
    device: OwnedFd,
}

impl Disk {
    /// Gives a file a loop device, or finds the one that it has.
    ///
    /// # Errors
    /// When the file cannot be opened, or no device is to be had.
    pub fn open(image: &Path) -> Result<Self, DiskError> {
        // Two who look at the same time would both find none, and both make one. The lock goes with
        // this process; the device gets a file of its own, or it would hold the lock, too.
        let _turn = turn(image)?;
        let file = open_file(image)?;
        if let Some(disk) = find(image, &file)? {
            return Ok(disk);
        }
        let control = fs::openat(CWD, "/dev/loop-control", flags(), Mode::empty())
            .map_err(failed("open", Path::new("/dev/loop-control")))?;
        for _ in 0..TRIES {
            let number = block::free_loop(control.as_fd())
                .map_err(failed("ask for a device", Path::new("/dev/loop-control")))?;
            let path = device_path(number);
            let device = open_device(&path, number).map_err(failed("open", &path))?;
            match block::bind_loop(device.as_fd(), file.as_fd(), BLOCK_BYTES) {
                Ok(()) => {
                    return Ok(Self {
                        image: image.to_owned(),
                        path,
                        device,
                    });
                }
                Err(Errno::BUSY) => {}
                Err(errno) => return Err(failed("bind a file to", &path)(errno)),
            }
        }
        Err(DiskError::NoDevice(image.to_owned()))
    }

    /// The disk that a file is now; `None` where nobody uses it.
    ///
    /// # Errors
    /// When the file, or a device, cannot be looked at.
    pub fn find(image: &Path) -> Result<Option<Self>, DiskError> {
        let file = turn(image)?;
        find(image, &file)
    }

    /// The device: `/dev/loop0`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the device, which is that of every file in the file system, too.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn number(&self) -> Result<u64, DiskError> {
        fs::fstat(&self.device)
            .map(|stat| stat.st_rdev)
            .map_err(failed("look at", &self.path))
    }

    /// A mount that is attached nowhere; it ends with the descriptor.
    ///
    /// # Errors
    /// When there is no sound file system in the file.
    pub fn mount(&self, read_only: bool) -> Result<OwnedFd, DiskError> {
        let mount = || -> Result<OwnedFd, MountError> {
            let system = FileSystem::open(KIND)?;
            system.set_path("source", &self.path)?;
            system.set("discard", None)?;
            // Of the mount, not of the file system: another mount of it may be writable.
            let read_only = if read_only {
                libc::MOUNT_ATTR_RDONLY
            } else {
                0
            };
            system.mount(libc::MOUNT_ATTR_NODEV | read_only)
        };
        mount().map_err(|error| DiskError::Mount {
            image: self.image.clone(),
            source: error.into(),
        })
    }

    /// Holds up all writes, until what it answers is dropped.
    ///
    /// # Errors
    /// When it cannot be mounted, or is held up already.
    pub fn freeze(&self) -> Result<Frozen, DiskError> {
        let root = self.root()?;
        block::freeze(root.as_fd()).map_err(failed("freeze", &self.image))?;
        Ok(Frozen(root))
    }

    /// Lets writes go on that a process which died has held up.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn thaw(&self) -> Result<(), DiskError> {
        let root = self.root()?;
        match block::thaw(root.as_fd()) {
            // It was not held up.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(failed("thaw", &self.image)(errno)),
        }
    }

    /// Makes the device as large as its file has become.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn follow_size(&self) -> Result<(), DiskError> {
        block::follow_size(self.device.as_fd()).map_err(failed("resize", &self.path))
    }

    /// Makes the file system so large, which its device is already, while it is used.
    ///
    /// # Errors
    /// [`DiskError::NotPrivileged`], and when the kernel refuses.
    pub fn grow(&self, bytes: u64) -> Result<(), DiskError> {
        let root = self.root()?;
        match block::grow_ext4(root.as_fd(), bytes / u64::from(BLOCK_BYTES)) {
            Ok(()) => Ok(()),
            Err(Errno::PERM) => Err(DiskError::NotPrivileged),
            Err(errno) => Err(failed("extend", &self.image)(errno)),
        }
    }

    fn root(&self) -> Result<OwnedFd, DiskError> {
        let mount = self.mount(false)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(&mount, ".", flags, Mode::empty()).map_err(failed("look into", &self.image))
    }
}

/// The files of a directory that have a loop device now.
///
/// # Errors
/// When the kernel does not tell of its devices.
pub fn used_in(directory: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let files = bound()?.into_iter().map(|(_, file)| file);
    Ok(files
        .filter(|file| file.parent() == Some(directory))
        .collect())
}

/// A file system whose writes are held up.
#[derive(Debug)]
pub struct Frozen(OwnedFd);

impl Drop for Frozen {
    fn drop(&mut self) {
        // It cannot fail for what is frozen; who thawed it meanwhile meant it.
        let _ = block::thaw(self.0.as_fd());
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl Fn(Errno) -> DiskError {
    move |errno| DiskError::Files {
        attempt,
        path: path.to_owned(),
        source: errno.into(),
    }
}

fn flags() -> OFlags {
    OFlags::RDWR | OFlags::CLOEXEC
}

fn open_file(image: &Path) -> Result<File, DiskError> {
    fs::openat(CWD, image, flags(), Mode::empty())
        .map(File::from)
        .map_err(failed("open", image))
}

/// Waits until nobody else looks for the device of a file, and keeps others waiting.
fn turn(image: &Path) -> Result<File, DiskError> {
    let file = open_file(image)?;
    fs::flock(&file, FlockOperation::LockExclusive).map_err(failed("lock", image))?;
    Ok(file)
}

fn device_path(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

/// Opens a device, whose node is missing where `/dev` is not the kernel's own.
fn open_device(path: &Path, number: u32) -> Result<OwnedFd, Errno> {
    match fs::openat(CWD, path, flags(), Mode::empty()) {
        Err(Errno::NOENT) => {
            let mode = Mode::from_raw_mode(0o600);
            let device = fs::makedev(LOOP_MAJOR, number);
            match fs::mknodat(CWD, path, fs::FileType::BlockDevice, mode, device) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            fs::openat(CWD, path, flags(), Mode::empty())
        }
        answer => answer,
    }
}

/// The device behind which a file is.
fn find(image: &Path, file: &File) -> Result<Option<Disk>, DiskError> {
    let stat = fs::fstat(file).map_err(failed("look at", image))?;
    for (number, _) in bound()? {
        let path = device_path(number);
        // One that is gone meanwhile is nobody's.
        let Ok(device) = open_device(&path, number) else {
            continue;
        };
        if is_behind(device.as_fd(), (stat.st_dev, stat.st_ino)) {
            return Ok(Some(Disk {
                image: image.to_owned(),
                path,
                device,
            }));
        }
    }
    Ok(None)
}

/// The loop devices with a file behind them, and that file's path as the kernel remembers it.
fn bound() -> Result<Vec<(u32, PathBuf)>, DiskError> {
    let blocks = Path::new("/sys/block");
    let entries = std::fs::read_dir(blocks).map_err(|source| DiskError::Files {
        attempt: "list",
        path: blocks.to_owned(),
        source,
    })?;
    Ok(entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("loop")?.parse().ok()?;
            let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Some((number, PathBuf::from(file.trim_end())))
        })
        .collect())
}

fn is_behind(device: BorrowedFd<'_>, file: (u64, u64)) -> bool {
    matches!(block::file_of_loop(device), Ok(Some(behind)) if behind == file)
}

//! Keeps the host's program out of a container's reach.
//!
//! A container can make a process that is about to execute something execute `/proc/self/exe`, and
//! then write to it (CVE-2019-5736). So whoever starts containers runs from a view of its program
//! that nothing can write through: an overlay mount with no writable layer, detached, so that there
//! is nothing to remount. Unlike a sealed copy in memory it shares the program's pages.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::mounts::MountError;
use crate::mounts::filesystem::FileSystem;
use crate::sys;

/// Why a program could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The read-only view could not be mounted.
    #[error("mount a read-only view of {}", path.display())]
    View {
        /// The program's directory.
        path: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program could not be found or opened.
    #[error("open {}", path.display())]
    Open {
        /// The program.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It could not be executed again.
    #[error("execute the sealed view of {}", path.display())]
    Execute {
        /// The program.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// A descriptor of the program at `exe` in a view that cannot be written through.
///
/// Execute it as `/proc/self/fd/N` (it closes on execution).
///
/// # Errors
/// When the kernel refuses the view.
pub fn open(exe: &Path) -> Result<OwnedFd, SealError> {
    let opened = |source: Errno| SealError::Open {
        path: exe.to_owned(),
        source: source.into(),
    };
    let directory = exe.parent().unwrap_or(Path::new("/"));
    let name = exe.file_name().ok_or_else(|| opened(Errno::ISDIR))?;
    let view = || -> Result<OwnedFd, MountError> {
        // An overlay without a writable layer needs two layers; the second is empty.
        let empty = FileSystem::open("tmpfs")?.mount(0)?;
        let overlay = FileSystem::open("overlay")?;
        overlay.set_path("lowerdir+", directory)?;
        overlay.set_path(
            "lowerdir+",
            Path::new(&format!("/proc/self/fd/{}", empty.as_raw_fd())),
        )?;
        overlay.mount(libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)
    };
    let view = view().map_err(|error| SealError::View {
        path: directory.to_owned(),
        source: Box::new(error),
    })?;
    fs::openat(
        view.as_fd(),
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(opened)
}

/// Goes on in a sealed view of this program, with the same arguments, unless it runs in one.
///
/// # Errors
/// When there is none; this process goes on then, and should not start containers.
pub fn run_from_sealed() -> Result<(), SealError> {
    let exe = Path::new("/proc/self/exe");
    let failed = |source: io::Error| SealError::Open {
        path: exe.to_owned(),
        source,
    };
    if is_sealed().map_err(|errno| failed(errno.into()))? {
        return Ok(());
    }
    let path = std::fs::read_link(exe).map_err(failed)?;
    let sealed = open(&path)?;
    let program = CString::new(format!("/proc/self/fd/{}", sealed.as_raw_fd()))
        .map_err(|error| failed(error.into()))?;
    let args = own_strings("cmdline").map_err(failed)?;
    let env = own_strings("environ").map_err(failed)?;
    let Err(errno) = sys::exec::execve(&program, &args, &env);
    Err(SealError::Execute {
        path,
        source: errno.into(),
    })
}

/// This process runs from a read-only overlay.
fn is_sealed() -> Result<bool, Errno> {
    let exe = fs::open(
        "/proc/self/exe",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let system = fs::fstatfs(&exe)?;
    let flags = fs::fstatvfs(&exe)?.f_flag;
    Ok(system.f_type == OVERLAYFS_MAGIC && flags.contains(fs::StatVfsMountFlags::RDONLY))
}

/// From `linux/magic.h`.
const OVERLAYFS_MAGIC: fs::FsWord = 0x794c_7630;

/// The strings of a file of `/proc/self` that ends each with a nul byte.
fn own_strings(file: &str) -> io::Result<Vec<CString>> {
    let content = std::fs::read(Path::new("/proc/self").join(OsStr::from_bytes(file.as_bytes())))?;
    let strings = content
        .split_inclusive(|byte| *byte == 0)
        .map(|string| string.strip_suffix(&[0]).unwrap_or(string));
    strings
        .map(|string| CString::new(string).map_err(io::Error::from))
        .collect()
}

//! Network namespaces: making one, mounting it where it outlives the daemon, doing work inside.
//!
//! A thread that enters a namespace is one of our own that ends there: no thread of the async
//! runtime ever leaves the host's. [`super::pool`] keeps namespaces ready; this file makes one.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::change::Batch;
use super::error::NetworkError;
use super::netlink::Socket;

/// A namespace with loopback up, mounted at `path`.
#[derive(Debug)]
pub(super) struct Namespace {
    /// Where it is mounted.
    pub(super) path: PathBuf,
    /// Itself.
    pub(super) fd: OwnedFd,
}

/// Directory of mounted namespaces, itself a mount that no other mount namespace copies later
/// changes of: a program started beside us does not keep our namespaces alive.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), NetworkError> {
    let failed = |attempt| {
        move |source: io::Error| NetworkError::File {
            attempt,
            path: directory.to_owned(),
            source,
        }
    };
    fs::create_dir_all(directory).map_err(failed("make"))?;
    if !is_mount(directory).map_err(failed("examine"))? {
        rustix::mount::mount_bind(directory, directory)
            .map_err(|errno| failed("mount")(errno.into()))?;
    }
    rustix::mount::mount_change(directory, MountPropagationFlags::PRIVATE)
        .map_err(|errno| failed("make private")(errno.into()))
}

/// Unmounts the directory of namespaces, which must be empty.
pub(super) fn release_directory(directory: &Path) -> Result<(), NetworkError> {
    if is_mount(directory).unwrap_or(false) {
        rustix::mount::unmount(directory, UnmountFlags::DETACH).map_err(|errno| {
            NetworkError::File {
                attempt: "unmount",
                path: directory.to_owned(),
                source: errno.into(),
            }
        })?;
    }
    Ok(())
}

fn is_mount(path: &Path) -> io::Result<bool> {
    let stat = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        rustix::fs::StatxFlags::BASIC_STATS,
    )?;
    Ok(stat
        .stx_attributes
        .contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

impl Namespace {
    /// Makes a namespace and mounts it at `path`, runs `inside` in it, and answers both.
    pub(super) fn make<T: Send>(
        path: PathBuf,
        inside: impl FnOnce() -> Result<T, NetworkError> + Send,
    ) -> Result<(Self, T), NetworkError> {
        on_own_thread(|| {
            #[expect(
                deprecated,
                reason = "its danger is CLONE_FILES; a network namespace breaks no promise to other threads"
            )]
            rustix::thread::unshare(UnshareFlags::NEWNET).map_err(|errno| {
                NetworkError::Namespace {
                    attempt: "make",
                    source: errno.into(),
                }
            })?;
            let fd = open(Path::new("/proc/thread-self/ns/net"))?;
            let mut batch = Batch::default();
            batch.up(1, "lo");
            Socket::open()
                .map_err(|source| NetworkError::Namespace {
                    attempt: "talk to",
                    source,
                })?
                .run(batch)?;
            let result = inside()?;
            fs::File::create(&path).map_err(|source| NetworkError::File {
                attempt: "make",
                path: path.clone(),
                source,
            })?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &path).map_err(|errno| {
                drop(fs::remove_file(&path));
                NetworkError::File {
                    attempt: "mount a network namespace at",
                    path: path.clone(),
                    source: errno.into(),
                }
            })?;
            Ok((Self { path, fd }, result))
        })
    }

    /// Opens one that an earlier daemon mounted; `None` where there is no namespace any more.
    pub(super) fn adopt(path: PathBuf) -> Option<Self> {
        if !is_mount(&path).ok()? {
            return None;
        }
        let fd = open(&path).ok()?;
        Some(Self { path, fd })
    }

    /// Unmounts it. The kernel frees it, and what is in it, when its last process is gone.
    pub(super) fn release(path: &Path) -> Result<(), NetworkError> {
        match rustix::mount::unmount(path, UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(errno) => {
                return Err(NetworkError::File {
                    attempt: "unmount",
                    path: path.to_owned(),
                    source: errno.into(),
                });
            }
        }
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(NetworkError::File {
                attempt: "remove",
                path: path.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

fn open(path: &Path) -> Result<OwnedFd, NetworkError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        NetworkError::File {
            attempt: "open",
            path: path.to_owned(),
            source: errno.into(),
        }
    })
}

/// Runs `work` inside a namespace. Sockets it opens belong there for good.
pub(super) fn within<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let netns = netns.as_fd();
    on_own_thread(move || {
        rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
            .map_err(|errno| NetworkError::Namespace {
                attempt: "enter",
                source: errno.into(),
            })?;
        work()
    })
}

fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, work)
            .map_err(|source| NetworkError::Namespace {
                attempt: "start a thread for",
                source,
            })?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

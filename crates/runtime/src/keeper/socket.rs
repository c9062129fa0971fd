//! The address of the keeper's socket.
//!
//! A socket's path may have 107 bytes, a data directory's may have more; so the directory is
//! opened, and the socket is named through `/proc/self/fd`.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Longest path that fits a socket address with its final NUL.
const MAX_PATH_BYTES: usize = 107;

/// Connects, wherever the socket is.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, UnixStream::connect)
}

/// Listens, wherever the socket is to be; what was there is replaced.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    with_short_path(path, UnixListener::bind)
}

fn with_short_path<T>(path: &Path, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= MAX_PATH_BYTES {
        return act(path.to_owned());
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    act(Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name))
}

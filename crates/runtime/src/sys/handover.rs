//! Descriptors that a program image before this one, in the same process, has left open.

#![allow(unsafe_code, reason = "takes ownership of descriptors by number")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// Takes over a descriptor that was kept open across `execve`, and makes it close at the next.
///
/// The caller makes sure that each number is taken once, before anything else is opened.
pub(crate) fn adopt(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1; that it is open is checked by the next call, and nothing else in this program
    // image owns it, as it was opened before the image began.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    if let Err(error) = rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
        // Not open, so there is nothing to close.
        std::mem::forget(descriptor);
        return Err(error);
    }
    Ok(descriptor)
}

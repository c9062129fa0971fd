//! Requests to terminate, as a descriptor.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::checked;

/// Blocks `SIGTERM` and `SIGINT` for this process, and answers a descriptor, not blocking, that is
/// readable while one is pending. A process started by [`crate::start`] has them unblocked again.
pub(crate) fn descriptor() -> Result<OwnedFd, Errno> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        checked(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()).into())?;
        let number = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        checked(number.into())?;
        Ok(OwnedFd::from_raw_fd(number))
    }
}

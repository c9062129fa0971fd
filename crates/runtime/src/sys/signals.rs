//! Signal dispositions and masks.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use rustix::io::Errno;

use super::checked;

/// Gives every signal its default disposition and unblocks it, as a program expects at its start.
pub(crate) fn reset() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition. Refused for SIGKILL, SIGSTOP and the C library's
        // own signals, which are at their default then.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that sigprocmask reads.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Sends a signal of any number to a process; number 0 only asks whether it exists.
pub(crate) fn send(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let no_details = ptr::null::<libc::siginfo_t>();
    // SAFETY: the kernel fills in the details itself when there are none.
    checked(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            no_details,
            0,
        )
    })
    .map(drop)
}

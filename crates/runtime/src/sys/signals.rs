//! Signal dispositions and masks.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;

use rustix::io::Errno;

use super::checked;

/// The signals that this process ignores, looked up once: it settles that as it starts.
pub(crate) fn ignored() -> &'static [libc::c_int] {
    static IGNORED: OnceLock<Vec<libc::c_int>> = OnceLock::new();
    IGNORED.get_or_init(|| {
        (1..=libc::SIGRTMAX())
            .filter(|signal| is_ignored(*signal))
            .collect()
    })
}

fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action this only writes the current one, if there is such a signal;
    // zeros are an action as well.
    unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr());
        now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Gives every signal its default disposition and unblocks it, as a program expects at its start.
///
/// For a process made by [`super::fork::fork`], which has no handlers any more.
pub(crate) fn reset() {
    for signal in ignored() {
        // SAFETY: SIG_DFL is a valid disposition.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
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

//! Which descriptors a program inherits.

#![allow(unsafe_code, reason = "wraps system calls")]

use rustix::io::Errno;

use super::checked;

/// Marks every descriptor from `first` on as closed when another program is executed.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: only sets flags; no descriptor becomes invalid in this process.
    checked(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

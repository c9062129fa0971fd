//! `execve`.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use rustix::io::Errno;

use super::last_errno;

/// Becomes the program at `path`.
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Result<Infallible, Errno> {
    let args = pointers(args);
    let env = pointers(env);
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(last_errno())
}

/// Becomes the program that a descriptor refers to, which may close as it does.
pub(crate) fn execute(
    program: BorrowedFd<'_>,
    args: &[CString],
    env: &[CString],
) -> Result<Infallible, Errno> {
    let args = pointers(args);
    let env = pointers(env);
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Err(last_errno())
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

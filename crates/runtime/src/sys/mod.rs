//! The system calls that `rustix` does not offer safely: the only place with `unsafe` code.
//!
//! Each function is a thin, safe wrapper that makes its own preconditions true or checks them.
//! No policy, no paths made up here; every other module of this crate calls it.

pub(crate) mod allocator;
pub(crate) mod block;
pub(crate) mod bpf;
pub(crate) mod descriptors;
pub(crate) mod exec;
pub(crate) mod fork;
pub(crate) mod handover;
pub(crate) mod identity;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod pidfd;
pub(crate) mod seccomp;
pub(crate) mod signals;
pub(crate) mod terminations;

use rustix::io::Errno;

/// The error of the last C library call of this thread.
fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

/// The result of a raw system call.
fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

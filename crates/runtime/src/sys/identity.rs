//! What `rustix` lacks of a process's own attributes.

#![allow(unsafe_code, reason = "wraps system calls")]

use rustix::io::Errno;
use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

use super::checked;

/// Sets the execution domain (`PER_LINUX`, `PER_LINUX32`).
pub(crate) fn set_personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: personality(2) has no memory preconditions.
    checked(unsafe { libc::syscall(libc::SYS_personality, domain) }).map(drop)
}

/// Sets the I/O class and priority of this process, as `ioprio_set(2)` packs them.
pub(crate) fn set_io_priority(packed: i32) -> Result<(), Errno> {
    /// From `linux/ioprio.h`.
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: ioprio_set(2) has no memory preconditions; 0 is the calling thread.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, packed) }).map(drop)
}

/// Does something as another owner of files, with all capabilities kept.
pub(crate) fn as_file_owner<T>(uid: u32, gid: u32, action: impl FnOnce() -> T) -> Result<T, Errno> {
    let before = capabilities(None)?;
    set_file_owner(uid, gid, before)?;
    let result = action();
    set_file_owner(0, 0, before)?;
    Ok(result)
}

fn set_file_owner(uid: u32, gid: u32, keep: CapabilitySets) -> Result<(), Errno> {
    // SAFETY: setfsuid(2) and setfsgid(2) have no memory preconditions. They answer the former id
    // and never fail for root.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    // The kernel took those over files away together with user 0.
    set_capabilities(None, keep)
}

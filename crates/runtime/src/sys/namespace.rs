//! `unshare` of single namespaces.

#![allow(unsafe_code, reason = "wraps system calls")]

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

/// Moves this process into new namespaces. Descriptors stay shared as they are.
pub(crate) fn unshare(namespaces: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(
        !namespaces.contains(UnshareFlags::FILES),
        "descriptors are not to be unshared"
    );
    // SAFETY: the descriptor table is not unshared, which is the one thing unsound about it.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

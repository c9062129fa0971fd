//! `mount_setattr`: flags, propagation and id mapping of mounts that exist.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::checked;

/// What to change of a mount. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'fd> {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`; 0 leaves it.
    pub(crate) propagation: u64,
    /// The user namespace whose mapping the mount gets.
    pub(crate) id_mapping: Option<BorrowedFd<'fd>>,
}

/// Changes the mount at `mount` (its root, or a path in it), and those below if `recursive`.
pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    recursive: bool,
    change: &Attributes<'_>,
) -> Result<(), Errno> {
    let mut set = change.set;
    let mut userns = 0;
    if let Some(fd) = change.id_mapping {
        set |= libc::MOUNT_ATTR_IDMAP;
        userns = u64::from(fd.as_raw_fd().cast_unsigned());
    }
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: userns,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and `attributes` outlives the call and has the size told.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

//! The C library's allocator.

#![allow(unsafe_code, reason = "wraps a call of the C library")]

/// Makes blocks of this size and more mappings of their own, which end when they are freed; answers
/// whether the library does.
pub(crate) fn map_blocks_from(bytes: libc::c_int) -> bool {
    // SAFETY: the call takes two numbers and may come at any time (mallopt(3)).
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) == 1 }
}

//! Installs a compiled system call filter.

#![allow(unsafe_code, reason = "wraps system calls")]

use rustix::io::Errno;

use super::checked;

/// One instruction of classic BPF is this many bytes.
pub(crate) const INSTRUCTION_BYTES: usize = 8;

/// Filters the system calls of this process from now on, and of its children.
///
/// `program` is classic BPF in host byte order. Fails with `EINVAL` for what is not whole
/// instructions, is empty or too long, or is refused by the kernel.
pub(crate) fn install(program: &[u8]) -> Result<(), Errno> {
    let (chunks, []) = program.as_chunks::<INSTRUCTION_BYTES>() else {
        return Err(Errno::INVAL);
    };
    let mut instructions: Vec<libc::sock_filter> = chunks
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: `program` points to as many instructions as it says; the kernel copies and checks them.
    checked(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}

//! Requests to loop devices and to file systems on them, `ioctl` by number.
//!
//! Sources: `linux/loop.h`, `linux/fs.h` and `fs/ext4/ext4.h`.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::last_errno;

const LOOP_CTL_GET_FREE: u32 = 0x4C82;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const LOOP_GET_STATUS64: u32 = 0x4C05;
const LOOP_SET_CAPACITY: u32 = 0x4C07;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const FIFREEZE: u32 = 0xC004_5877;
const FITHAW: u32 = 0xC004_5878;
const EXT4_IOC_RESIZE_FS: u32 = 0x4008_6610;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopInfo {
    const fn with_flags(flags: u32) -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

fn answer(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

/// The number of a loop device that nobody uses, from `/dev/loop-control`.
pub(crate) fn free_loop(control: BorrowedFd<'_>) -> Result<u32, Errno> {
    // SAFETY: the request takes no argument.
    let number = answer(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE.into()) })?;
    Ok(number.unsigned_abs())
}

/// Puts a file behind a loop device, which lets go of it when nobody has the device open any more.
pub(crate) fn bind_loop(
    device: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    block_size: u32,
) -> Result<(), Errno> {
    let config = LoopConfig {
        fd: file.as_raw_fd().unsigned_abs(),
        block_size,
        info: LoopInfo::with_flags(LO_FLAGS_AUTOCLEAR),
        reserved: [0; 8],
    };
    // SAFETY: the request reads a `loop_config`, which outlives the call.
    answer(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE.into(), &raw const config) })
        .map(drop)
}

/// Device and inode number of the file behind a loop device; `None` where there is none.
pub(crate) fn file_of_loop(device: BorrowedFd<'_>) -> Result<Option<(u64, u64)>, Errno> {
    let mut info = LoopInfo::with_flags(0);
    // SAFETY: the request writes a `loop_info64`, which outlives the call.
    let result =
        unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64.into(), &raw mut info) };
    match answer(result) {
        Ok(_) => Ok(Some((info.device, info.inode))),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes a loop device as large as its file has become.
pub(crate) fn follow_size(device: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request takes no argument.
    answer(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY.into()) }).map(drop)
}

/// Holds up every write to the file system of a directory, after what was written has come to rest.
pub(crate) fn freeze(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request ignores its argument.
    answer(unsafe { libc::ioctl(directory.as_raw_fd(), FIFREEZE.into(), 0) }).map(drop)
}

/// Lets writes go on.
pub(crate) fn thaw(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request ignores its argument.
    answer(unsafe { libc::ioctl(directory.as_raw_fd(), FITHAW.into(), 0) }).map(drop)
}

/// Makes a mounted ext4 so many of its blocks large.
pub(crate) fn grow_ext4(directory: BorrowedFd<'_>, blocks: u64) -> Result<(), Errno> {
    // SAFETY: the request reads a number, which outlives the call.
    answer(unsafe {
        libc::ioctl(
            directory.as_raw_fd(),
            EXT4_IOC_RESIZE_FS.into(),
            &raw const blocks,
        )
    })
    .map(drop)
}

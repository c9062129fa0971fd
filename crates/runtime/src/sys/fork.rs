//! `clone3`: a child process, in new namespaces and straight into its cgroup.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{checked, signals};

/// A child that exists.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
}

impl Child {
    /// Kills a child that is not wanted after all, and waits for its end.
    pub(crate) fn end(self) {
        let pidfd = self.pidfd.as_fd();
        // What has ended already cannot be killed, and what somebody else reaped not be waited for.
        let _ended = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
        let _reaped = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED);
    }
}

/// Status of a child whose code ended without becoming another program.
pub(crate) const EXIT_LOST: i32 = 255;

/// Makes a child that runs `body` in a copy of this process's memory, and never returns from it.
///
/// `namespaces` are `CLONE_NEW*` bits. `cgroup` is a directory of the version 2 hierarchy that the
/// child is born in. Signal handlers are reset in the child; ignored signals stay ignored.
///
/// Fails with `EBUSY` in a process with several threads: the child would inherit locks (of the
/// allocator, say) held by threads that it does not have.
pub(crate) fn fork(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> Infallible,
) -> Result<Child, Errno> {
    if !is_single_threaded()? {
        return Err(Errno::BUSY);
    }
    // The child needs to know, and looks it up in its copy of this memory.
    signals::ignored();
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain integers; zero means "not used" for each of them.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | flag(libc::CLONE_PIDFD) | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = flag(libc::SIGCHLD);
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = flag(cgroup.as_raw_fd());
    }
    // SAFETY: without CLONE_VM this is fork(2): the child has its own copy of the memory and goes
    // on from here, on its copy of this stack. `args` and `pidfd` outlive the call. There is no
    // other thread, so no lock is held in the copy that this code does not hold itself.
    let pid = checked(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        // A panic must not unwind into the parent's code, which this process has a copy of.
        let Err(_panic) = catch_unwind(AssertUnwindSafe(body));
        exit_now(EXIT_LOST);
    }
    Ok(Child {
        pid: u32::try_from(pid).map_err(|_| Errno::OVERFLOW)?,
        // SAFETY: the kernel just opened it for us.
        pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
    })
}

/// Ends this process at once: no exit handlers, no flushing of buffers copied from the parent.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

/// From `linux/sched.h`; not in the C library's headers.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn flag(bits: libc::c_int) -> u64 {
    u64::from(bits.cast_unsigned())
}

/// A thread is a directory in `/proc/self/task`, and a directory counts its subdirectories as links.
fn is_single_threaded() -> Result<bool, Errno> {
    Ok(rustix::fs::stat(Path::new("/proc/self/task"))?.st_nlink == 3)
}

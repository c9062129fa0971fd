//! The least that makes a process of its own root file system and namespaces: `clone3`, an overlay
//! mount, `pivot_root`, `execve`; where asked for, in a cgroup with limits, as every container is.
//! No `/dev`, nothing masked, all privileges.

#![allow(unsafe_code, reason = "wraps system calls")]

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use runtime::start::status::{Phase, now_ns};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroups::{Cgroups, Entry};
use crate::world::Layers;

/// What the child reports, in this order, as it goes on to the next.
const PHASES: [&str; 5] = ["limits", "clone", "cgroup", "overlay", "root"];
/// From `linux/sched.h`; not in the C library's headers.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Everything found out that can be before the start.
pub(crate) struct Bare {
    target: CString,
    options: CString,
}

impl Bare {
    pub(crate) fn new(layers: &Layers) -> Self {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            layers.lower.display(),
            layers.upper().display(),
            layers.work().display()
        );
        Self {
            target: text(&layers.lower),
            options: CString::new(options).unwrap(),
        }
    }

    /// Answers a handle on the process, what it told of its set-up, and when the program ran.
    pub(crate) fn start(&self, cgroups: Option<&Cgroups>) -> (OwnedFd, Vec<Phase>, u64) {
        let entry = cgroups.map(Cgroups::make);
        let limited = now_ns();
        let (status, report) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut pidfd: RawFd = -1;
        let kinds =
            libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
        // SAFETY: `clone_args` is plain integers; zero means "not used" for each of them.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = u64::from((kinds | libc::CLONE_PIDFD).cast_unsigned());
        args.pidfd = (&raw mut pidfd).addr() as u64;
        args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
        if let Some(v2) = entry.as_ref().and_then(|entry| entry.v2.as_ref()) {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = u64::from(v2.as_raw_fd().cast_unsigned());
        }
        // SAFETY: as fork(2), in a process with one thread; `args` and `pidfd` outlive the call.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
        assert!(pid >= 0, "clone3");
        if pid == 0 {
            self.become_program(report.as_raw_fd(), limited, entry.as_ref());
        }
        drop(report);
        let mut reported = [0; size_of::<[u64; PHASES.len()]>()];
        let mut status = File::from(status);
        status.read_exact(&mut reported).unwrap();
        status.read_to_end(&mut Vec::new()).unwrap();
        let executed = now_ns();
        let times = reported.chunks_exact(size_of::<u64>());
        let phases = PHASES.iter().zip(times).map(|(name, time)| Phase {
            name: (*name).to_owned(),
            at_ns: u64::from_ne_bytes(time.try_into().unwrap()),
        });
        // SAFETY: the kernel just opened it for us.
        let child = unsafe { OwnedFd::from_raw_fd(pidfd) };
        (child, phases.collect(), executed)
    }

    fn become_program(&self, report: RawFd, limited: u64, entry: Option<&Entry>) -> ! {
        let born = now_ns();
        for tasks in entry.iter().flat_map(|entry| &entry.tasks) {
            rustix::io::write(tasks, b"0").unwrap();
        }
        let joined = now_ns();
        // SAFETY: every pointer is a C string or null, and the arrays end with null; all outlive
        // the calls. Nothing here touches this process's memory.
        unsafe {
            libc::mount(
                null(),
                c"/".as_ptr(),
                null(),
                libc::MS_PRIVATE | libc::MS_REC,
                null(),
            );
            libc::mount(
                c"overlay".as_ptr(),
                self.target.as_ptr(),
                c"overlay".as_ptr(),
                0,
                self.options.as_ptr().cast(),
            );
            let mounted = now_ns();
            libc::chdir(self.target.as_ptr());
            libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr());
            libc::umount2(c".".as_ptr(), libc::MNT_DETACH);
            libc::chdir(c"/".as_ptr());
            let times = [limited, born, joined, mounted, now_ns()];
            libc::write(report, times.as_ptr().cast(), size_of_val(&times));
            let arguments = [c"true".as_ptr(), null()];
            let environment = [null()];
            libc::execve(
                c"/bin/true".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
            // The caller misses the status 0.
            libc::_exit(1)
        }
    }
}

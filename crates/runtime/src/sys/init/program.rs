//! The small process 1 of a container started with an init: runs the program, forwards signals to
//! it, reaps what is left behind, and ends as it ends.
//!
//! A program of its own, without the standard library: a container that may trace its process 1
//! must not find the keeper's memory there. `build.rs` compiles it; [`crate::init`] executes it, as
//! `init PATH ARG0 ARG1...`, where PATH is what is executed with the arguments.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {main}", "brk 1", main = sym main);

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const IOCTL: usize = 16;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const GETPID: usize = 39;
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const WAIT4: usize = 61;
    pub(super) const KILL: usize = 62;
    pub(super) const SETPGID: usize = 109;
    pub(super) const RT_SIGTIMEDWAIT: usize = 128;
    pub(super) const EXIT_GROUP: usize = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const IOCTL: usize = 29;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const GETPID: usize = 172;
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const WAIT4: usize = 260;
    pub(super) const KILL: usize = 129;
    pub(super) const SETPGID: usize = 154;
    pub(super) const RT_SIGTIMEDWAIT: usize = 137;
    pub(super) const EXIT_GROUP: usize = 94;
}

const SIGCHLD: usize = 17;
const SIGTTIN: usize = 21;
const SIGTTOU: usize = 22;
const SIG_SETMASK: usize = 2;
const TIOCSPGRP: usize = 0x5410;
const WNOHANG: usize = 1;
const ENOENT: isize = -2;
const EINTR: isize = -4;

/// A system call of up to five arguments; answers a negated error number if it fails.
///
/// # Safety
/// That of the system call.
unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's; the registers are those of the kernel's convention.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's; the registers are those of the kernel's convention.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    result
}

fn exit(status: usize) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { call(number::EXIT_GROUP, [status, 0, 0, 0, 0]) };
    }
}

/// Blocks this set of signals, and no other.
fn block(signals: u64) {
    // SAFETY: the kernel reads 8 bytes.
    unsafe { call(number::RT_SIGPROCMASK, [SIG_SETMASK, (&raw const signals) as usize, 0, 8, 0]) };
}

/// `stack` is what the kernel left for a program: number of arguments, arguments, environment.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's layout of a new program's stack.
    let (count, arguments) = unsafe { (*stack, stack.add(1)) };
    if count < 3 {
        exit(125);
    }
    // SAFETY: as above: the environment begins after the null behind the arguments.
    let (path, arguments, environment) = unsafe { (*arguments.add(1), arguments.add(2), arguments.add(count + 1)) };
    block(u64::MAX);
    // SAFETY: without CLONE_VM it is fork(2).
    let child = unsafe { call(number::CLONE, [SIGCHLD, 0, 0, 0, 0]) };
    if child == 0 {
        // A group of its own, which comes to the foreground where there is a terminal.
        // SAFETY: the kernel reads the group's number, 4 bytes.
        unsafe {
            call(number::SETPGID, [0, 0, 0, 0, 0]);
            let group = call(number::GETPID, [0; 5]) as u32;
            call(number::IOCTL, [0, TIOCSPGRP, (&raw const group) as usize, 0, 0]);
        }
        block(0);
        // SAFETY: null-terminated arrays of C strings, as the kernel gave them.
        let error = unsafe { call(number::EXECVE, [path, arguments as usize, environment as usize, 0, 0]) };
        exit(if error == ENOENT { 127 } else { 126 });
    }
    if child < 0 {
        exit(125);
    }
    attend(child as usize)
}

/// Forwards signals and reaps, until the child has ended.
fn attend(child: usize) -> ! {
    let every = u64::MAX;
    loop {
        // SAFETY: the kernel reads 8 bytes, and is asked for no details.
        let signal = unsafe { call(number::RT_SIGTIMEDWAIT, [(&raw const every) as usize, 0, 0, 8, 0]) };
        match signal {
            EINTR => {}
            signal if signal == SIGCHLD as isize => reap(child),
            // Meant for whoever reads or writes the terminal, which this process does not.
            signal if signal == SIGTTIN as isize || signal == SIGTTOU as isize => {}
            signal if signal > 0 => {
                // SAFETY: no memory is handed over.
                unsafe { call(number::KILL, [child, signal as usize, 0, 0, 0]) };
            }
            _ => exit(125),
        }
    }
}

/// Reaps all that have ended; ends with the child's exit code if it is one of them.
fn reap(child: usize) {
    let mut code = None;
    loop {
        let mut status: u32 = 0;
        // SAFETY: the kernel writes 4 bytes.
        let ended = unsafe { call(number::WAIT4, [usize::MAX, (&raw mut status) as usize, WNOHANG, 0, 0]) };
        if ended <= 0 {
            break;
        }
        if ended as usize == child {
            let signal = status & 0x7f;
            code = Some(if signal == 0 { status >> 8 & 0xff } else { 128 + signal });
        }
    }
    if let Some(code) = code {
        // The kernel kills the rest of the process namespace with its process 1.
        exit(code as usize);
    }
}

#[panic_handler]
fn panic(_information: &core::panic::PanicInfo<'_>) -> ! {
    exit(125)
}

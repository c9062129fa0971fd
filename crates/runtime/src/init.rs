//! The small process 1 of a container that asks for one: forwards signals and reaps.
//!
//! The program itself is `sys/init/program.rs`. It is executed out of memory, so the container
//! need not have it, and cannot change it.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::{sealed, sys};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The init program in sealed memory, ready to be executed.
#[derive(Debug)]
pub(crate) struct Init(OwnedFd);

impl Init {
    /// Loads it.
    pub(crate) fn load() -> Result<Self, Errno> {
        let memory = sealed::in_memory("init", PROGRAM)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // Out of the way of descriptors that the program inherits.
        fcntl_dupfd_cloexec(&memory, 1000).map(Self)
    }

    /// Becomes process 1, which runs `path` with these arguments and environment.
    pub(crate) fn execute(
        &self,
        path: &CString,
        args: &[CString],
        env: &[CString],
    ) -> Result<Infallible, Errno> {
        let mut all = vec![c"init".to_owned(), path.clone()];
        all.extend_from_slice(args);
        sys::exec::execute(self.0.as_fd(), &all, env)
    }
}

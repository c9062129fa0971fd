//! Which system calls a container may make: profiles, and filters compiled from them.
//!
//! A filter is classic BPF, laid out as a binary search over ranges of call numbers: a call is
//! decided in about eight steps, where a list would take hundreds, and, as the kernel tries a new
//! filter on every call number once, installing it costs a tenth. Compile once, keep the bytes,
//! give them to every [`crate::launch::Launch`].
//!
//! `default.json` holds the facts of the default profile of Docker, as of `moby/profiles`
//! `seccomp/default.json` v0.2.3 (Apache-2.0), for the architectures we run on. `tables/` holds the
//! call numbers of Linux 6.17 (its `unistd.h` by way of the crate `linux-raw-sys` 0.12.1).

mod assembly;
mod profile;
mod program;
mod table;

use oci_spec::runtime::LinuxSeccomp;

pub use self::profile::ProfileError;
use self::profile::Rules;

/// Why a filter could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// The profile is not in Docker's form.
    #[error("read the seccomp profile")]
    Profile(#[source] ProfileError),
    /// It asks for what this runtime does not do.
    #[error("linux.seccomp.{0} is not supported")]
    Unsupported(String),
    /// The kernel takes no more than 4,096 instructions.
    #[error("the seccomp filter has {0} instructions; the kernel takes 4096 at most")]
    TooLong(usize),
}

/// The filter of the default profile for a process with these capabilities (kernel names:
/// `CAP_SYS_ADMIN`).
///
/// # Errors
/// None that depends on the input; the profile is built in.
pub fn default_filter(capabilities: &[String]) -> Result<Vec<u8>, SeccompError> {
    filter_of(include_str!("default.json"), capabilities)
}

/// The filter of a profile in Docker's JSON form.
///
/// # Errors
/// When it is not in that form, or cannot be carried out.
pub fn filter_of(profile: &str, capabilities: &[String]) -> Result<Vec<u8>, SeccompError> {
    assembly::assemble(&Rules::from_docker(profile, capabilities).map_err(SeccompError::Profile)?)
}

/// The filter of a specification's `linux.seccomp`.
///
/// # Errors
/// When it cannot be carried out.
pub fn filter_of_spec(wanted: &LinuxSeccomp) -> Result<Vec<u8>, SeccompError> {
    assembly::assemble(&Rules::from_spec(wanted)?)
}

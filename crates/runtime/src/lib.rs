//! One container as a process, and the keeper that is the parent of them all.
//!
//! [`start`] makes a container out of a [`launch::Launch`]; [`keeper`] is the process that does so
//! and stays. Nothing here knows images, networks by name, or any API.

mod capabilities;
pub mod cgroup;
pub mod console;
mod devices;
pub mod disk;
pub mod idmap;
mod init;
pub mod insertion;
pub mod keeper;
pub mod kernel;
pub mod launch;
mod masked;
pub mod memory;
mod mounts;
mod namespaces;
pub mod oci;
pub mod overlay;
mod procfs;
pub mod rlimits;
mod root;
mod sealed;
pub mod seccomp;
pub mod start;
mod sys;
mod sysctl;
mod target;
pub mod user;

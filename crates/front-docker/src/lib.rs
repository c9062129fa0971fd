//! The Docker Engine API, versions 1.24 to 1.51.
//!
//! A directory a noun, always with the same files: `routes` names path and action, `wire` holds the
//! serialised shapes, `translate` turns them into the model and back. This crate owns no state: it
//! reads and writes through `actions`, in the socket's project; what it keeps are connections. [`router`] is for the binary.

#![recursion_limit = "256"] // `docker info` is one long `json!`

mod build;
mod buildkit;
mod container;
mod error;
mod event;
mod exec;
mod filters;
mod front;
#[cfg(fuzzing)]
pub mod fuzzing;
mod id;
mod image;
mod json;
mod network;
mod query;
mod refused;
mod router;
mod stream;
mod system;
mod time;
mod version;
mod volume;

use std::path::PathBuf;

/// What the front end must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory, as `docker info` shows it.
    pub data_dir: PathBuf,
    /// Our own registry, as names of its images begin: `HOST:PORT`.
    pub registry: String,
    /// Counts the requests, by route.
    pub metrics: edge::metrics::Metrics,
}

/// The daemon's own version, as `docker version` shows it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use router::router;

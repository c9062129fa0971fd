//! What things are: the nouns that every front end, controller and node shares.
//!
//! One file a noun. Plain data with serde shapes and small pure functions; no I/O, no async, no
//! HTTP and no protocol's own words. Every other crate reads these; none may add to them from
//! outside.

pub mod container;
pub mod event;
pub mod image;
pub mod instance;
pub mod meta;
pub mod network;
pub mod node;
pub mod resources;
pub mod security;
pub mod stream;
pub mod volume;

pub use meta::{Id, Kind, Meta, Project};

//! What things are: the nouns that every front end, controller and node shares.
//!
//! One file a noun. Plain data with serde shapes and small pure functions; no I/O, no async, no
//! HTTP and no protocol's own words. Every other crate reads these; none may add to them from
//! outside.

pub mod aggregate;
pub mod application_credential;
pub mod assignment;
pub mod container;
pub mod credential;
pub mod delegation;
pub mod digest;
pub mod endpoint;
pub mod event;
pub mod firewall;
pub mod flavor;
pub mod group;
pub mod guest;
pub mod id_range;
pub mod image;
pub mod image_task;
pub mod instance;
pub mod key_pair;
pub mod key_ring;
pub mod limit;
pub mod meta;
pub mod metadata_namespace;
pub mod network;
pub mod node;
pub mod port;
pub mod project;
pub mod quota;
pub mod region;
pub mod registered_image;
pub mod repository;
pub mod resources;
pub mod restart;
pub mod revocation;
pub mod role;
pub mod router;
pub mod security;
pub mod server;
pub mod server_group;
pub mod service;
pub mod snapshot;
pub mod stream;
pub mod subnet;
pub mod trust;
pub mod usage;
pub mod user;
pub mod volume;
pub mod volume_transfer;
pub mod volume_type;

pub use meta::{Id, Kind, Meta, ProjectId};

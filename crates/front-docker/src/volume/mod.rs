//! Volumes.

pub(crate) mod routes;
mod wire;

pub(crate) use routes::usage;

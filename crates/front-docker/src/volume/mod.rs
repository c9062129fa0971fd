//! Volumes.

pub(crate) mod routes;
mod wire;

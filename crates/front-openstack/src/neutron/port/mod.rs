//! Ports.

pub(super) mod routes;
mod translate;

//! Floating addresses.

pub(super) mod routes;
mod translate;

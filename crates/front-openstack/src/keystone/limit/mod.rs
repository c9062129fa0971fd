//! Limits.

pub(super) mod routes;
mod translate;

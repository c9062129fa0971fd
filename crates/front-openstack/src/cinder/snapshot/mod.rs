//! Snapshots.

pub(super) mod routes;
mod translate;

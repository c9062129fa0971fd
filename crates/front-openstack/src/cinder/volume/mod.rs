//! Volumes.

mod action;
pub(super) mod metadata;
pub(super) mod routes;
pub(super) mod translate;

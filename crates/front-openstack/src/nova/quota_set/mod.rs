//! Quota sets of projects, and of classes.

pub(super) mod routes;
mod translate;

//! Security groups.

pub(super) mod routes;
mod translate;

//! Projects.

pub(super) mod routes;
mod translate;

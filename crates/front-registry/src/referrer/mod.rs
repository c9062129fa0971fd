//! Lists of what is said about a manifest.

pub(crate) mod routes;
mod wire;

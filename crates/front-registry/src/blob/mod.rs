//! Blobs: pulling them whole or in part, and deleting them.

pub(crate) mod range;
pub(crate) mod routes;

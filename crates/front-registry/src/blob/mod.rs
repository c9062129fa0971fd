//! Blobs: pulling them whole or in part, and deleting them.

mod range;
pub(crate) mod routes;

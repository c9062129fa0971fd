//! Uploads of blobs: at once, in pieces, or by mounting one that is there.

mod piece;
pub(crate) mod routes;

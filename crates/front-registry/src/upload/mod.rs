//! Uploads of blobs: at once, in pieces, or by mounting one that is there.

pub(crate) mod piece;
pub(crate) mod routes;

//! Images: what is said of them.

mod filter;
mod patch;
pub(super) mod routes;
pub(super) mod translate;

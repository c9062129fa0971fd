//! Key pairs.

pub(super) mod routes;
mod translate;

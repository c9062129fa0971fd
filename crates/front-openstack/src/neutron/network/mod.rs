//! Networks.

pub(super) mod routes;
mod translate;

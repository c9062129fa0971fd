//! Extensions.

pub(super) mod routes;

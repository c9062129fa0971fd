//! Subnets.

pub(super) mod routes;
mod translate;

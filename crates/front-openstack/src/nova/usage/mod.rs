//! Usage: for how long projects had which servers.

pub(super) mod routes;
mod translate;

//! Volumes of servers.

pub(super) mod routes;
mod translate;

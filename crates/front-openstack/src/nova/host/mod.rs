//! Hosts, by which clients up to 2.42 know nodes.

pub(super) mod routes;
mod translate;

//! Transfers of volumes to other projects, by both of their paths.

pub(super) mod routes;

//! Availability zones.

pub(super) mod routes;

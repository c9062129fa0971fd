//! What the cloud itself is like: zones.

pub(super) mod routes;

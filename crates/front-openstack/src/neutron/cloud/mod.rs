//! What the cloud itself is like: quotas, agents and zones.

pub(super) mod routes;

//! Services: the parts of the cloud that run on nodes.

pub(super) mod routes;

//! Application credentials and access rules.

pub(super) mod routes;
pub(super) mod translate;

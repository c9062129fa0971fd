//! Roles, and which of them imply which.

pub(super) mod routes;
pub(super) mod translate;

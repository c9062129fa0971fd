//! Rules of security groups.

pub(super) mod routes;
pub(super) mod translate;

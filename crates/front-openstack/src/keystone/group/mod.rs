//! Groups.

pub(super) mod routes;
pub(super) mod translate;

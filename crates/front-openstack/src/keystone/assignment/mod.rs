//! Who has which role where.

pub(super) mod routes;
pub(super) mod translate;

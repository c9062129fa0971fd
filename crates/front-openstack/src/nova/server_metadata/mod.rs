//! The user's own words about servers, by name.

pub(super) mod routes;
pub(super) mod translate;

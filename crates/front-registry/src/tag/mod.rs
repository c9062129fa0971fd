//! Lists of tags.

pub(crate) mod routes;

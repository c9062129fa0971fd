//! The list of repositories.

pub(crate) mod routes;

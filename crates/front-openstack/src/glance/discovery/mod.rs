//! Which versions, stores and ways to import there are.

pub(super) mod routes;

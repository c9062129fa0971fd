//! Which versions there are.

pub(super) mod routes;

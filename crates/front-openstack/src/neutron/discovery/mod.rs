//! Which versions and extensions there are.

pub(super) mod routes;

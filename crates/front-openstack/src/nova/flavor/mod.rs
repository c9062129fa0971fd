//! Flavors: the sizes that servers are made in.

pub(super) mod routes;
mod translate;

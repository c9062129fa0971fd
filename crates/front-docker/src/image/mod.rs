//! Images of the local content store.

pub(crate) mod lookup;
mod prune;
pub(crate) mod routes;
pub(crate) mod translate;
mod transfer;
mod wire;

//! Images of the local content store.

mod commit;
pub(crate) mod lookup;
mod prune;
pub(crate) mod routes;
mod transfer;
pub(crate) mod translate;
mod wire;

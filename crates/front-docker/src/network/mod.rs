//! Networks.

pub(crate) mod lookup;
pub(crate) mod routes;
mod translate;
pub(crate) mod wire;

pub(crate) use translate::driver_word;

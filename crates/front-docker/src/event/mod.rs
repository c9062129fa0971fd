//! What happens, as a stream.

pub(crate) mod routes;
mod translate;

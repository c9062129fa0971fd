//! Searching for repositories, as `docker search HOST/TERM` asks for it.

pub(crate) mod routes;
mod wire;

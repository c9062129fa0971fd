//! Routers.

pub(super) mod routes;
mod translate;

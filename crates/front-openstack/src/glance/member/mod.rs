//! Members: whom images are shared with.

pub(super) mod routes;
mod translate;

//! Schemas: what the documents look like.

pub(super) mod routes;
mod translate;

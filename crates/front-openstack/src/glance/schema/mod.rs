//! Schemas: what the documents look like.

mod metadef;
pub(super) mod routes;
mod translate;

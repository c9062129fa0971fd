//! Manifests and indexes: pulled by tag or digest, pushed, deleted.

mod accept;
pub(crate) mod routes;

//! Tokens: getting, validating and revoking them.

pub(super) mod routes;
pub(super) mod translate;
mod wire;

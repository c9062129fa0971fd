//! Tokens: getting, validating and revoking them.

pub(super) mod routes;
pub(super) mod shown;
mod translate;
mod wire;

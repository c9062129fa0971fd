//! Tokens: getting, validating and revoking them.

pub(super) mod routes;
mod translate;
mod wire;

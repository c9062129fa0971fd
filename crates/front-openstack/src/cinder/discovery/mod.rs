//! Version discovery, which needs no token.

pub(super) mod routes;

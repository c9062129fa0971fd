//! Tokens, for a user's password, an application credential, or nobody.

pub(crate) mod routes;
mod wire;

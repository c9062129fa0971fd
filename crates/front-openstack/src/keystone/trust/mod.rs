//! Trusts: what users lend to others.

pub(super) mod routes;
mod translate;

//! Passwords that servers made up.

pub(super) mod routes;

//! Tasks that fill images.

pub(super) mod routes;

//! Services: what runs servers and places them.

pub(super) mod routes;
mod translate;

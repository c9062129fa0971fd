//! Groups of servers that are to be kept together, or apart.

pub(super) mod routes;
mod translate;

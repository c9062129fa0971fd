//! The daemon itself: ping, version, info, and what there is none of.

pub(crate) mod routes;
mod wire;

//! The daemon itself: ping, version, info, and what there is none of.

mod auth;
pub(crate) mod routes;
mod wire;

pub(crate) use wire::go_architecture;

//! Servers: made, listed, shown, changed and removed. What is done to one is in
//! [`super::server_action`].

mod block_device;
pub(super) mod create;
mod list;
pub(super) mod routes;
pub(super) mod translate;

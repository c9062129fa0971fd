//! Consoles of servers: what was written there, and a terminal over a WebSocket for whoever has a
//! token, as Nova's serial consoles are.

pub(super) mod routes;
mod terminal;

pub(super) use routes::{output, serial};

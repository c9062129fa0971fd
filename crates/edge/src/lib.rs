//! HTTP plumbing without nouns: serving, hijacked connections, bodies, observation, metrics.
//!
//! Every front end stands on this and brings its own routes, wire shapes and error envelope; the
//! binary binds the sockets. Nothing here knows what is served: it must not use `model`.

pub mod body;
mod document;
pub mod download;
pub mod h2c;
pub mod health;
pub mod hijack;
pub mod metrics;
pub mod observe;
pub mod paging;
pub mod server;
pub mod socks;
pub mod tls;
pub mod websocket;

//! The API from the outside: requests on a socket, over a whole cloud with the simulated engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod buildkit;
mod container;
mod event;
mod exec;
mod house;
mod image;
mod network;
mod system;
mod volume;

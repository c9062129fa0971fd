//! What callers may ask, over a whole cloud with the simulated engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod house;
mod isolation;
/// The binary's own way from streams to an engine.
#[path = "../../longshore/src/nodes.rs"]
mod nodes;
mod projects;
mod volumes;

//! What callers may ask, over a whole cloud with the simulated engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod house;
mod isolation;
mod networks;
mod projects;
mod servers;
mod trusts;
mod volumes;

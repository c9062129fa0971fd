//! What the engine does, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod host;
mod network;
mod simulated;
mod suite;

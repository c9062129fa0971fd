//! Containers, and the keeper of them, on the kernel of this machine. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on stops and says why"
)]

mod keeper;
mod scene;
mod start;

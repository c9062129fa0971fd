//! Stories over the simulated engine: store, controllers and agent together, as users meet them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod change;
mod fault;
mod house;
mod life;
mod network;
mod port;
mod removal;
mod restart;

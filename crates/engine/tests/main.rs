//! What the engine does, seen from outside.

mod host;
mod network;
mod simulated;
mod suite;

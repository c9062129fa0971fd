//! What the engine does, seen from outside.

mod simulated;
mod suite;

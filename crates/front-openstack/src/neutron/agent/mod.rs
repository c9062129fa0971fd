//! Agents: what does the network's work on each node.

pub(super) mod routes;
mod translate;

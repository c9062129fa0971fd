//! Aggregates: nodes that the operator counts together.

pub(super) mod routes;
mod translate;

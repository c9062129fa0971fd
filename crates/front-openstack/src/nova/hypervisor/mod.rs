//! Hypervisors: the nodes, as machines that servers run on.

pub(super) mod routes;
mod translate;

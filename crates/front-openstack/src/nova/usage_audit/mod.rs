//! Audits of usage by the nodes: there are none, as usage is counted when it is asked for.

pub(super) mod routes;
mod translate;

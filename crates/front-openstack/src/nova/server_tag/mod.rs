//! Words that servers are selected by, since microversion 2.26.

pub(super) mod routes;
pub(super) mod translate;

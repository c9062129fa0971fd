//! Quotas of the network's objects.

pub(super) mod routes;
mod translate;

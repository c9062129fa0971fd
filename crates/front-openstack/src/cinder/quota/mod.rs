//! Quotas of volumes and snapshots, classes of quotas, and limits.

pub(super) mod routes;

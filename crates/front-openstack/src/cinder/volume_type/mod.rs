//! Types of volumes, their extra specs, and who may use them.

pub(super) mod routes;

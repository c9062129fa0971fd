//! Services, endpoints and regions.

pub(super) mod routes;
pub(super) mod translate;

//! What there is of the service itself: limits, zones, services, extensions.

pub(super) mod routes;

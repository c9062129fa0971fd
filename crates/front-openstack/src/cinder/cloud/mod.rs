//! What there is of the service itself: zones, extensions.

pub(super) mod routes;

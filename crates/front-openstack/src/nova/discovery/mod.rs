//! What there is: the version and its microversions.

pub(super) mod routes;

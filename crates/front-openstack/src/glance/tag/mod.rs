//! Tags of images.

pub(super) mod routes;

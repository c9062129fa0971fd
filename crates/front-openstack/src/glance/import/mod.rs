//! Imports: filling images from what was staged, or from elsewhere.

pub(super) mod routes;

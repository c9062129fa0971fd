//! The data of images: in, staged, and out.

pub(super) mod routes;
mod translate;

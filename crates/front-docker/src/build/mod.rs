//! Building images by the classic protocol, and what builds leave for the next ones.

mod routes;
mod stream;
mod translate;

pub(crate) use routes::{routes, usage};
pub(crate) use translate::NO_BUILDKIT;

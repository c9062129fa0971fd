//! Images: what is said of them.

mod filter;
mod patch;
pub(super) mod routes;
pub(super) mod translate;

pub(crate) use filter::Wanted;
pub(crate) use translate::property;

//! Building images by the classic protocol, and what builds leave for the next ones.

mod prune;
mod routes;
mod stream;
mod translate;

pub(crate) use prune::{Prune, prune_chosen};
pub(crate) use routes::{routes, usage};
pub(crate) use translate::{remote, surroundings, to_model};

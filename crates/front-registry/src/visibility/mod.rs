//! Who may pull from a repository: an extension of ours, for there is none in the specification.

pub(crate) mod routes;
mod wire;

//! Key pairs for APIs in the manner of EC2.

pub(super) mod routes;
mod translate;

//! What servers use now.

pub(super) mod routes;
mod translate;

//! Projects, and domains, which are projects too.

pub(super) mod routes;
pub(super) mod translate;

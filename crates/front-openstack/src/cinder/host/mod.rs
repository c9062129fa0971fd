//! Where volumes are kept, as admins are told: the parts of the service, its host, its one pool.

pub(super) mod routes;
mod translate;

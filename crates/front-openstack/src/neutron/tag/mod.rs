//! Tags of every noun that has some.

pub(super) mod routes;
pub(super) use routes::TAGGED;

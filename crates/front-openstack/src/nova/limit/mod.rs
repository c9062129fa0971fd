//! Limits: what a project may have, and has, at one glance.

pub(super) mod routes;
mod translate;

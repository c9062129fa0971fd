//! Execs: further processes in containers that run.

pub(crate) mod routes;
mod translate;
mod wire;

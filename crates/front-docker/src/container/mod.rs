//! Containers: one instance each, in Docker's words.

mod archive;
mod attach;
pub(crate) mod create;
mod inspect;
mod list;
mod logs;
pub(crate) mod lookup;
pub(crate) mod prune;
pub(crate) mod routes;
pub(crate) mod show;
mod signal;
mod stats;

pub(crate) mod translate;
mod update;
pub(crate) mod wire;

#[cfg(fuzzing)]
pub(crate) use list::port_filter;
pub(crate) use list::summaries;
pub(crate) use stats::json_lines;

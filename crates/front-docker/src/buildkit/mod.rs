//! What clients with buildx build through: BuildKit's services over connections that were taken over.
//!
//! On `POST /grpc` we serve: a client asks for a build ([`control`], [`gateway`]) and hears how it goes
//! ([`progress`]). On `POST /session` the client serves: its files ([`files`]), secrets and credentials
//! are asked of it ([`session`]). Clients before buildx ask by `POST /build` ([`early`]). The build
//! itself ([`run`]) is the same as the classic protocol's.
//!
//! What is kept here are connections and the builds that go on over them, nothing that outlives them.
//!
//! Source: BuildKit v0.24, `api/services/control`, `frontend/gateway/pb`, `session`.

mod attributes;
mod control;
mod early;
mod error;
mod files;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gateway;
mod job;
mod progress;
mod request;
mod result;
mod routes;
mod run;
mod session;
mod tar;
mod upload;

pub(crate) use early::build;
pub(crate) use routes::routes;

/// The connections of clients, and what they build.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    sessions: session::Sessions,
    jobs: job::Jobs,
    uploads: upload::Uploads,
}

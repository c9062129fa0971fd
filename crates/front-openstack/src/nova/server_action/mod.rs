//! What is done to servers, as the body of `POST /servers/{id}/action` says it: one key, which names
//! the action.

mod power;
mod refused;
pub(super) mod routes;
mod shape;

//! The OpenStack APIs: a directory a service, in it a directory a noun.
//!
//! `keystone/` and its neighbours each bring a list of [`route::Route`]s and one `error.rs`, which
//! maps every action error to the service's envelope. A noun always has the same files: `routes`
//! names path and action, `wire` holds the serialised shapes, `translate` turns them into the model
//! and back. [`router`] mounts all of them by path, and lets nobody past [`auth`] without a token.
//! This crate owns no state: it reads and writes through `actions`.

mod auth;
mod cinder;
#[cfg(test)]
mod doors;
mod failure;
mod fault;
mod front;
mod glance;
mod id;
mod json;
mod keystone;
pub mod metadata;
mod microversion;
mod neutron;
mod nova;
mod query;
mod route;
mod service;
mod time;

pub use service::{Settings, catalogue, router};

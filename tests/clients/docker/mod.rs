//! The `docker` command line, a file a subject, and libraries that speak its protocol.

mod bad_requests;
mod build;
mod commit;
mod compose;
mod copy;
mod errors;
mod events;
mod exec;
mod images;
mod lifecycle;
mod links;
mod listing;
mod logs;
mod networks;
mod node;
mod proxy;
mod pull;
mod push;
mod run;
mod security;
mod tls;
mod volumes;

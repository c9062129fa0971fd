//! The `docker` command line, a file a subject.

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
mod proxy;
mod pull;
mod push;
mod run;
mod security;
mod tls;
mod volumes;

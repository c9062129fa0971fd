//! The daemon and its keeper killed, stopped and taken down: what must survive, and what must not be left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod build;
mod crash;
mod disk_full;
mod down;
mod keeper;
mod lossy_disk;
mod pull;
mod registry;
mod server;
mod volume;

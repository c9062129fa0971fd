//! Every backend against the one suite, and what only the embedded one promises.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod crash;
mod embedded;
mod runner;
mod suite;

use jiff::Timestamp;
use model::volume::{Volume, VolumeSpec};
use model::{Meta, ProjectId};

/// A volume of the admin project.
fn volume(name: &str) -> Volume {
    Volume {
        meta: Meta::new(name, ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
        spec: VolumeSpec::default(),
    }
}

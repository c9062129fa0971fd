//! What the tests with real clients share: a daemon of their own, the unmodified `docker` command
//! line, an image made from this machine's busybox, and a look at what is left behind.
//!
//! The tests run as root. They take the daemon's binary from `LONGSHORE_BIN`, and run against
//! Debian's dockerd instead where `LONGSHORE_AGAINST=dockerd` is set, so that the tests themselves
//! are tested. `cargo xtask test` sets both.

pub mod api;
pub mod daemon;
pub mod disk;
pub mod distribution;
pub mod docker;
pub mod image;
pub mod leftovers;
pub mod machine;
pub mod openstack;
pub mod proxy;
pub mod registry;
pub mod web;

/// The value of an environment variable that steers the tests.
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are steered by xtask through the environment"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

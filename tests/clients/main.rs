//! Unmodified clients against a running daemon, each as its users call it.
//!
//! The same tests run against dockerd (`cargo xtask test --against dockerd`), which tests the
//! tests: what fails there is wrong here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod docker;
mod oci;
mod openstack;
mod registry;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tests::daemon::Daemon;
use tests::image::import_busybox;

/// A daemon with a `busybox` image that one test has for itself.
fn own_daemon() -> Daemon {
    let daemon = Daemon::start().unwrap();
    import_busybox(&daemon.docker()).unwrap();
    daemon
}

/// One that tests share which make nothing of a name that another makes; the last user takes it down.
fn daemon() -> Arc<Daemon> {
    static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(daemon) = shared.upgrade() {
        return daemon;
    }
    let daemon = Arc::new(own_daemon());
    *shared = Arc::downgrade(&daemon);
    daemon
}

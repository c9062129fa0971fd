//! The registry as its clients use it: `skopeo`, and single requests where no client shows the answer.

mod identity;
mod pieces;
mod search;
mod skopeo;
mod upstream;

use std::sync::Arc;

use tests::daemon::{Daemon, Kind};
use tests::distribution::Registry;

/// The shared daemon and its registry, as the operator; `None` where tests run against dockerd, which
/// has no registry.
fn registry() -> Option<(Arc<Daemon>, Registry)> {
    let daemon = crate::daemon();
    if daemon.kind() != Kind::Longshore {
        return None;
    }
    let registry = daemon.registry().unwrap();
    Some((daemon, registry))
}

/// The busybox image as an archive of `docker save`, for `skopeo`: `docker-archive:PATH`.
fn archive(daemon: &Daemon, name: &str) -> String {
    let path = daemon.scratch().join(format!("{name}.tar"));
    let path = path.to_str().unwrap();
    daemon.docker().run(&["save", "-o", path, "busybox"]).ok();
    format!("docker-archive:{path}")
}

//! Both daemons, running side by side with the same image.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tests::api::Api;
use tests::daemon::{Daemon, Kind};
use tests::image::import_busybox;

use super::table::median;

/// Ours and the peer.
pub(super) struct Pair {
    pub(super) longshore: Daemon,
    pub(super) dockerd: Daemon,
}

impl Pair {
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let pair = Self {
            longshore: Daemon::start_with(binary)?,
            dockerd: Daemon::start_kind(Kind::Dockerd)?,
        };
        for daemon in pair.both() {
            import_busybox(&daemon.docker())?;
        }
        Ok(pair)
    }

    /// Ours, then the peer.
    pub(super) fn both(&self) -> [&Daemon; 2] {
        [&self.longshore, &self.dockerd]
    }

    /// Medians of what `measure` answers for each, in alternating runs after one to warm up.
    pub(super) fn medians(
        &self,
        runs: usize,
        mut measure: impl FnMut(&Daemon) -> Result<f64>,
    ) -> Result<[f64; 2]> {
        let mut values = [Vec::new(), Vec::new()];
        for run in 0..=runs {
            for (daemon, values) in self.both().into_iter().zip(&mut values) {
                let value = measure(daemon)?;
                if run > 0 {
                    values.push(value);
                }
            }
        }
        Ok(values.map(median))
    }
}

/// Requests for a daemon, with the version in the path that both speak.
pub(super) fn api(daemon: &Daemon) -> Api {
    Api::new(&daemon.socket())
}

/// How long `work` takes, in milliseconds.
pub(super) fn milliseconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(as_milliseconds(start.elapsed()))
}

pub(super) fn as_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

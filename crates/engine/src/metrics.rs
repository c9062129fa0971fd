//! What the host counts about itself: starts, how long each of their phases took, and failures.
//!
//! Numbers only; the binary gives them names and a format.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in seconds; the last bucket has none.
pub const BUCKET_SECONDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
];

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Times in each bucket of [`BUCKET_SECONDS`], and in the one past the last.
    pub buckets: [u64; BUCKET_SECONDS.len() + 1],
    /// All times together, in seconds.
    pub sum_seconds: f64,
    /// How many times.
    pub count: u64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        let bucket = BUCKET_SECONDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKET_SECONDS.len());
        self.buckets[bucket] += 1;
        self.sum_seconds += seconds;
        self.count += 1;
    }
}

/// The numbers at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// Runs that began.
    pub starts: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Processes executed in running instances.
    pub execs: u64,
    /// Runs that ended.
    pub exits: u64,
    /// Runs that live now.
    pub running: u64,
    /// Time by phase of a start: `prepare`, `network`, `keeper`, `total`, and the keeper's own.
    pub start_phases: BTreeMap<String, Histogram>,
}

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) starts: AtomicU64,
    pub(crate) failed_starts: AtomicU64,
    pub(crate) execs: AtomicU64,
    pub(crate) exits: AtomicU64,
    phases: Mutex<BTreeMap<String, Histogram>>,
}

impl Metrics {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self, name: &str, took: Duration) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = phases.get_mut(name) {
            histogram.observe(took.as_secs_f64());
        } else {
            phases
                .entry(name.to_owned())
                .or_default()
                .observe(took.as_secs_f64());
        }
    }

    pub(crate) fn snapshot(&self, running: u64) -> MetricsSnapshot {
        MetricsSnapshot {
            starts: self.starts.load(Ordering::Relaxed),
            failed_starts: self.failed_starts.load(Ordering::Relaxed),
            execs: self.execs.load(Ordering::Relaxed),
            exits: self.exits.load(Ordering::Relaxed),
            running,
            start_phases: self
                .phases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let metrics = Metrics::default();
        metrics.phase("total", Duration::from_millis(4));
        metrics.phase("total", Duration::from_secs(9));
        let histogram = &metrics.snapshot(0).start_phases["total"];
        assert_eq!(
            (histogram.count, histogram.buckets[6], histogram.buckets[14]),
            (2, 1, 1)
        );
    }
}

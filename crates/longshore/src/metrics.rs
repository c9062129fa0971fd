//! Gives the engine's numbers the names under which `/metrics` shows them.

use std::sync::{Arc, Weak};

use edge::metrics::Metrics;
use engine::host::Host;
use engine::metrics::{BUCKET_SECONDS, Histogram, MetricsSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Shows the numbers of `host` for as long as it lives.
pub(crate) fn register(metrics: &Metrics, host: &Arc<Host>) {
    let host = Arc::downgrade(host);
    metrics.register(|registry| registry.register_collector(Box::new(HostNumbers { host })));
}

/// Reads the numbers whenever somebody asks.
#[derive(Debug)]
struct HostNumbers {
    host: Weak<Host>,
}

impl Collector for HostNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(host) = self.host.upgrade() else {
            return Ok(());
        };
        let MetricsSnapshot {
            starts,
            failed_starts,
            execs,
            exits,
            running,
            start_phases,
        } = host.metrics();
        let counters = [
            ("container_starts", "Runs that began.", starts),
            (
                "container_failed_starts",
                "Starts that failed.",
                failed_starts,
            ),
            (
                "container_execs",
                "Processes executed in running containers.",
                execs,
            ),
            ("container_exits", "Runs that ended.", exits),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let gauges = [
            ("containers_running", "Containers that run now.", running),
            (
                "resident_memory_bytes",
                "Resident memory of the daemon.",
                resident_bytes(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let mut phases = encoder.encode_descriptor(
            "container_start_seconds",
            "Time of a start by phase.",
            None,
            MetricType::Histogram,
        )?;
        for (phase, histogram) in &start_phases {
            let labels = [("phase", phase.as_str())];
            encode_histogram(phases.encode_family(&labels)?, histogram)?;
        }
        Ok(())
    }
}

fn encode_histogram(
    mut encoder: MetricEncoder<'_>,
    histogram: &Histogram,
) -> Result<(), std::fmt::Error> {
    let bounds = BUCKET_SECONDS.iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.buckets).collect();
    encoder.encode_histogram::<[(&str, &str); 0]>(
        histogram.sum_seconds,
        histogram.count,
        &buckets,
        None,
    )
}

/// Resident memory of this process, in bytes; 0 where `/proc` does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    let kilobytes = line
        .split_whitespace()
        .next()
        .and_then(|value| value.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

//! What an instance uses now: its cgroup's counters, its interfaces' and the node's processors'.
//!
//! The numbers are those that `docker stats` computes its percentages from. The runtime reads the
//! cgroup; the host calls this with what it knows of the run.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use model::Id;
use model::instance::Failure;
use model::stream::{BlkioEntry, InterfaceStats, Stats};
use runtime::cgroup::{BlockIo, Cgroup, CgroupError};

use crate::failure::internal;
use crate::host::Inner;
use crate::instance::on_thread;
use crate::process::not_running;

/// Clock ticks a second in what the kernel shows to programs, on every architecture. Source:
/// proc_stat(5), `USER_HZ`.
const TICKS_PER_SECOND: u64 = 100;

/// Why usage cannot be read.
#[derive(Debug, thiserror::Error)]
enum StatsError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("read {path}")]
    Read { path: String, source: io::Error },
    #[error("read {path}: unexpected content {content:?}")]
    Content { path: &'static str, content: String },
}

impl Inner {
    /// What a running instance uses now.
    pub(crate) async fn stats(&self, id: Id) -> Result<Stats, Failure> {
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        let pid = live.pid().ok_or_else(|| not_running(id))?;
        on_thread(move || {
            let cgroup = Cgroup::at(&live.note.cgroups_path).map_err(StatsError::from);
            let stats = cgroup.and_then(|cgroup| read(&cgroup, pid, live.note.has_sandbox));
            // It may have ended meanwhile, and that is what the caller wants to know.
            stats.map_err(|error| {
                if live.pid().is_none() {
                    not_running(id)
                } else {
                    internal(&error)
                }
            })
        })
        .await
    }
}

/// Reads the usage of the container with this cgroup and this process 1. Only what `has_network`
/// of its own has interfaces to count.
fn read(cgroup: &Cgroup, pid: u32, has_network: bool) -> Result<Stats, StatsError> {
    let usage = cgroup.usage()?;
    let processors = Processors::parse(&text("/proc/stat".to_owned())?)?;
    let networks = if has_network {
        interfaces(&text(format!("/proc/{pid}/net/dev"))?)
    } else {
        BTreeMap::new()
    };
    let node_memory = node_memory_bytes();
    Ok(Stats {
        at: Timestamp::now(),
        cpu_total_ns: usage.cpu_total_ns,
        cpu_kernel_ns: usage.cpu_kernel_ns,
        cpu_user_ns: usage.cpu_user_ns,
        cpu_system_ns: processors.used_ns,
        cpus_online: processors.online,
        cpu_percpu_ns: usage.cpu_percpu_ns,
        cpu_periods: usage.cpu_periods,
        cpu_throttled_periods: usage.cpu_throttled_periods,
        cpu_throttled_ns: usage.cpu_throttled_ns,
        memory_usage_bytes: usage.memory_bytes,
        memory_max_usage_bytes: usage.memory_max_bytes,
        memory_limit_bytes: usage
            .memory_limit_bytes
            .map_or(node_memory, |limit| limit.min(node_memory)),
        memory_failcnt: usage.memory_limit_hits,
        memory_stat: usage.memory_stat,
        pids_current: usage.pids,
        pids_limit: usage.pids_limit.unwrap_or(0),
        networks,
        blkio_bytes: usage.io_bytes.into_iter().map(entry).collect(),
        blkio_operations: usage.io_operations.into_iter().map(entry).collect(),
        cgroup_version: usage.version,
    })
}

fn entry(io: BlockIo) -> BlkioEntry {
    BlkioEntry {
        major: io.major,
        minor: io.minor,
        operation: io.operation,
        value: io.value,
    }
}

fn text(path: String) -> Result<String, StatsError> {
    std::fs::read_to_string(&path).map_err(|source| StatsError::Read { path, source })
}

fn node_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// The node's processors.
#[derive(Debug, PartialEq)]
struct Processors {
    /// Time of all of them, idle time included.
    used_ns: u64,
    online: u32,
}

impl Processors {
    /// Sums the first seven fields, user to softirq, as Docker does. Source: moby,
    /// `daemon/stats_unix.go`, `readSystemCPUUsage`.
    fn parse(stat: &str) -> Result<Self, StatsError> {
        let mut processors = Self {
            used_ns: 0,
            online: 0,
        };
        for line in stat.lines().take_while(|line| line.starts_with("cpu")) {
            let Some(all) = line.strip_prefix("cpu ") else {
                processors.online += 1;
                continue;
            };
            let unexpected = || StatsError::Content {
                path: "/proc/stat",
                content: line.to_owned(),
            };
            let ticks: Vec<u64> = all
                .split_ascii_whitespace()
                .take(7)
                .map_while(|field| field.parse().ok())
                .collect();
            if ticks.len() < 7 {
                return Err(unexpected());
            }
            let ticks: u64 = ticks.iter().sum();
            processors.used_ns = ticks
                .checked_mul(1_000_000_000 / TICKS_PER_SECOND)
                .ok_or_else(unexpected)?;
        }
        Ok(processors)
    }
}

/// Counters by interface, without the loopback. Source: proc_pid_net(5), `/proc/pid/net/dev`.
fn interfaces(dev: &str) -> BTreeMap<String, InterfaceStats> {
    let lines = dev.lines().skip(2).filter_map(|line| line.split_once(':'));
    let counted = lines.filter_map(|(name, counters)| {
        let counters: Vec<u64> = counters
            .split_ascii_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = counters[..]
        else {
            return None;
        };
        let counters = InterfaceStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), counters))
    });
    counted.filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_counted_as_docker_does() {
        let stat = "cpu  100 20 30 400 5 6 7 800 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu12 1 2 3\nintr 1 2 3\ncpu9 1\n";
        let expected = Processors {
            used_ns: 568 * 10_000_000,
            online: 2,
        };
        assert_eq!(Processors::parse(stat).unwrap(), expected);
        let error = Processors::parse("cpu  1 2 x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "read /proc/stat: unexpected content \"cpu  1 2 x\""
        );
    }

    #[test]
    fn interfaces_are_counted_without_loopback() {
        let dev = "Inter-|   Receive |  Transmit\n face |bytes packets errs\n    lo:  1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n  eth0:10 11 12 13 0 0 0 0 14 15 16 17 0 0 0 0\nbroken: 1\n";
        let counted = interfaces(dev);
        assert_eq!(counted.len(), 1);
        let eth0 = &counted["eth0"];
        assert_eq!(
            (
                eth0.rx_bytes,
                eth0.rx_dropped,
                eth0.tx_bytes,
                eth0.tx_dropped
            ),
            (10, 13, 14, 17)
        );
    }

    #[test]
    fn this_node_can_be_read() {
        let here = Processors::parse(&std::fs::read_to_string("/proc/stat").unwrap()).unwrap();
        assert!(here.online > 0 && here.used_ns > 0);
        assert!(node_memory_bytes() > 1 << 20);
    }
}

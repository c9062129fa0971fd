//! How much of a machine an instance may use, and how much of it is in use.

use serde::{Deserialize, Serialize};

/// Limits and weights of one container. A `None` is the kernel's default.
///
/// Memory is in bytes, time in microseconds unless the name says otherwise.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Hard memory limit, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that stays with the container under pressure, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// Memory plus swap, in bytes; `-1` is unlimited.
    pub memory_swap_bytes: Option<i64>,
    /// 0 to 100: how readily anonymous memory is swapped.
    pub memory_swappiness: Option<u8>,
    /// The container's processes wait instead of being killed at the memory limit.
    pub oom_kill_disable: bool,
    /// Relative processor weight, 2 to 262,144 (1,024 is the default).
    pub cpu_shares: Option<u64>,
    /// Processor time, in thousand-millionths of one processor.
    pub nano_cpus: Option<u64>,
    /// Length of a scheduling period, in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Processor time in one period, in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// Real-time period, in microseconds.
    pub cpu_realtime_period_us: Option<u64>,
    /// Real-time processor time in one period, in microseconds.
    pub cpu_realtime_runtime_us: Option<i64>,
    /// Processors it may run on, as the kernel writes lists: `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use, as the kernel writes lists.
    pub cpuset_mems: Option<String>,
    /// Most processes and threads; `None` is unlimited.
    pub pids_limit: Option<i64>,
    /// Relative block I/O weight, 10 to 1,000.
    pub blkio_weight: Option<u16>,
    /// Block I/O weights by device.
    pub blkio_weight_device: Vec<DeviceRate>,
    /// Read limits by device, in bytes a second.
    pub blkio_read_bps: Vec<DeviceRate>,
    /// Write limits by device, in bytes a second.
    pub blkio_write_bps: Vec<DeviceRate>,
    /// Read limits by device, in operations a second.
    pub blkio_read_iops: Vec<DeviceRate>,
    /// Write limits by device, in operations a second.
    pub blkio_write_iops: Vec<DeviceRate>,
    /// Limits of the process itself (`setrlimit`).
    pub ulimits: Vec<Ulimit>,
}

/// A weight or rate of one block device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceRate {
    /// The device's path on the node.
    pub path: String,
    /// The weight, or the rate a second.
    pub rate: u64,
}

/// One `setrlimit` limit. `-1` is unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ulimit {
    /// The limit's lower-case name without prefix: `nofile`.
    pub name: String,
    /// What the process starts with.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

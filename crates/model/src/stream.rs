//! What passes through a node's streams: requests and samples that are not desired state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::TerminalSize;

/// A process to run in an instance that runs already.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// Arguments, the program first.
    pub args: Vec<String>,
    /// `NAME=value`, beside the container's.
    pub env: Vec<String>,
    /// Working directory; empty is the container's.
    pub working_dir: String,
    /// User and group; empty is the container's.
    pub user: String,
    /// Its streams are a pseudo-terminal.
    pub tty: bool,
    /// Size of the terminal at start.
    pub terminal_size: Option<TerminalSize>,
    /// It has a standard input.
    pub stdin: bool,
    /// Its standard output is wanted.
    pub stdout: bool,
    /// Its standard error is wanted.
    pub stderr: bool,
    /// Every capability that the node itself has.
    pub privileged: bool,
    /// Keys that end an attachment, as the client wrote them.
    pub detach_keys: String,
}

/// What is known of an exec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecStatus {
    /// What was asked for.
    pub spec: ExecSpec,
    /// It runs now.
    pub running: bool,
    /// Its process id on the node; 0 before the start.
    pub pid: u32,
    /// Its exit status, once it ended.
    pub exit_code: Option<i32>,
}

/// Which of a process's streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Which lines of a log are wanted.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogOptions {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Stay for lines yet to come, until the instance exits.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only lines up to this time.
    pub until: Option<Timestamp>,
}

/// A line of a log, or a part of a long one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Where it was written.
    pub stream: Stream,
    /// When it was read.
    pub at: Timestamp,
    /// What was written, the line end included where there was one.
    pub bytes: Vec<u8>,
    /// What was written beside it: [`crate::container::LogDetails`], by name.
    pub details: Arc<BTreeMap<String, String>>,
}

/// What an instance uses, at one moment. Counters run from the start.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stats {
    /// When it was read.
    pub at: Timestamp,
    /// Processor time used, in nanoseconds.
    pub cpu_total_ns: u64,
    /// Of this in the kernel.
    pub cpu_kernel_ns: u64,
    /// Of this outside the kernel.
    pub cpu_user_ns: u64,
    /// Processor time of the whole node, idle included, in nanoseconds.
    pub cpu_system_ns: u64,
    /// Processors of the node.
    pub cpus_online: u32,
    /// Processor time by processor, in nanoseconds, where the kernel counts it (cgroup v1).
    pub cpu_percpu_ns: Vec<u64>,
    /// Scheduling periods.
    pub cpu_periods: u64,
    /// Of these with the quota used up.
    pub cpu_throttled_periods: u64,
    /// Time spent waiting for the next period, in nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory in use, in bytes, page cache included.
    pub memory_usage_bytes: u64,
    /// Most ever in use, where the kernel counts it (cgroup v1).
    pub memory_max_usage_bytes: u64,
    /// The limit; the node's memory where there is none.
    pub memory_limit_bytes: u64,
    /// How often the limit was hit.
    pub memory_failcnt: u64,
    /// The kernel's detailed counters, by its own names.
    pub memory_stat: BTreeMap<String, u64>,
    /// Processes and threads.
    pub pids_current: u64,
    /// Most of them; 0 is unlimited.
    pub pids_limit: u64,
    /// By interface name.
    pub networks: BTreeMap<String, InterfaceStats>,
    /// Block I/O in bytes, by device and operation.
    pub blkio_bytes: Vec<BlkioEntry>,
    /// Block I/O in operations, by device and operation.
    pub blkio_operations: Vec<BlkioEntry>,
    /// Which cgroup hierarchy this was read from: 1 or 2.
    pub cgroup_version: u8,
}

/// Counters of one interface.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of /proc/net/dev")]
pub struct InterfaceStats {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// One block I/O counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlkioEntry {
    /// Device number, major part.
    pub major: u64,
    /// Device number, minor part.
    pub minor: u64,
    /// `Read`, `Write` and so on, as the kernel names it.
    pub operation: String,
    /// The counter.
    pub value: u64,
}

/// A file in an instance, as seen from inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Permission bits and file type, as `st_mode`.
    pub mode: u32,
    /// Last change of the contents.
    pub modified_at: Timestamp,
    /// Where a symbolic link leads, resolved inside the container.
    pub link_target: String,
}

/// How an archive is extracted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractOptions {
    /// Refuse to replace a directory by a file, or a file by a directory.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to the user that the container runs as, where it names one, instead of to
    /// whom the archive names.
    pub copy_owners: bool,
}

/// Paths of the host that belong to an instance.
#[derive(Clone, Debug, Default)]
pub struct HostPaths {
    /// Its current log file; empty without one.
    pub log: PathBuf,
    /// Its writable layer.
    pub upper: PathBuf,
    /// Its `resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Its `hostname`.
    pub hostname: PathBuf,
    /// Its `hosts`.
    pub hosts: PathBuf,
}

/// A change of a container's root file system against its image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Absolute path inside.
    pub path: String,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// The processes of an instance, as a table.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Processes {
    /// Column titles.
    pub titles: Vec<String>,
    /// A row a process.
    pub rows: Vec<Vec<String>>,
}

//! `update`, `pause`, `resume` and `events`: limits of a container, and what it uses.

use std::path::Path;

use clap::Args;
use oci_spec::runtime::LinuxResources;

use super::OciError;
use super::record::{Record, Status};

/// Arguments of `update`.
#[derive(Args, Clone, Debug)]
pub(super) struct Update {
    /// A file with the limits in JSON; `-` is standard input.
    #[arg(long, short)]
    resources: Option<std::path::PathBuf>,
    /// Memory limit, in bytes.
    #[arg(long, allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory reservation, in bytes.
    #[arg(long, allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Limit of memory and swap, in bytes; -1 is unlimited.
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Relative processor weight.
    #[arg(long, visible_alias = "cpu-share")]
    cpu_shares: Option<u64>,
    /// Length of a scheduling period, in microseconds.
    #[arg(long)]
    cpu_period: Option<u64>,
    /// Processor time in one period, in microseconds.
    #[arg(long, allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Processors it may run on.
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Most processes and threads.
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Relative block I/O weight.
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// Name of the container.
    id: String,
}

/// Arguments of `events`.
#[derive(Args, Clone, Debug)]
pub(super) struct Events {
    /// Print what it uses now, and return; the only thing offered.
    #[arg(long, required = true)]
    stats: bool,
    /// Name of the container.
    id: String,
}

impl Update {
    /// Changes the limits.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        let record = Record::load(root, &self.id)?;
        let resources = match &self.resources {
            None => self.of_options()?,
            Some(path) => {
                let content = if path.as_os_str() == "-" {
                    std::io::read_to_string(std::io::stdin())
                } else {
                    std::fs::read_to_string(path)
                };
                let content = content.map_err(|source| OciError::Bundle {
                    path: path.clone(),
                    source,
                })?;
                serde_json::from_str(&content).map_err(|source| OciError::Document {
                    path: path.clone(),
                    source,
                })?
            }
        };
        Ok(record.cgroup()?.update(&resources)?)
    }

    fn of_options(&self) -> Result<LinuxResources, OciError> {
        let document = serde_json::json!({
            "memory": {"limit": self.memory, "reservation": self.memory_reservation, "swap": self.memory_swap},
            "cpu": {
                "shares": self.cpu_shares, "period": self.cpu_period, "quota": self.cpu_quota,
                "cpus": self.cpuset_cpus, "mems": self.cpuset_mems,
            },
            "pids": self.pids_limit.map(|limit| serde_json::json!({"limit": limit})),
            "blockIO": {"weight": self.blkio_weight},
        });
        serde_json::from_value(document).map_err(|source| OciError::Document {
            path: "(options)".into(),
            source,
        })
    }
}

impl Events {
    /// Prints it, in the form of `runc events --stats`.
    #[expect(clippy::print_stdout, reason = "this is a command line")]
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        let record = Record::load(root, &self.id)?;
        let usage = record.cgroup()?.usage()?;
        let io = |entries: &[crate::cgroup::BlockIo]| -> Vec<serde_json::Value> {
            let shown = entries.iter().map(|entry| {
                serde_json::json!({
                    "major": entry.major, "minor": entry.minor, "op": entry.operation, "value": entry.value,
                })
            });
            shown.collect()
        };
        let event = serde_json::json!({
            "type": "stats",
            "id": self.id,
            "data": {
                "cpu": {
                    "usage": {
                        "total": usage.cpu_total_ns, "kernel": usage.cpu_kernel_ns, "user": usage.cpu_user_ns,
                        "percpu": usage.cpu_percpu_ns,
                    },
                    "throttling": {
                        "periods": usage.cpu_periods, "throttledPeriods": usage.cpu_throttled_periods,
                        "throttledTime": usage.cpu_throttled_ns,
                    },
                },
                "memory": {
                    "usage": {
                        "usage": usage.memory_bytes, "max": usage.memory_max_bytes,
                        "limit": usage.memory_limit_bytes.unwrap_or(u64::MAX), "failcnt": usage.memory_limit_hits,
                    },
                    "raw": usage.memory_stat,
                },
                "pids": {"current": usage.pids, "limit": usage.pids_limit.unwrap_or(0)},
                "blkio": {
                    "ioServiceBytesRecursive": io(&usage.io_bytes), "ioServicedRecursive": io(&usage.io_operations),
                },
            },
        });
        println!("{event}");
        Ok(())
    }
}

/// Holds the processes of a container still.
pub(super) fn pause(root: &Path, id: &str) -> Result<(), OciError> {
    let record = Record::load(root, id)?;
    match record.status(root)? {
        Status::Created | Status::Running => Ok(record.cgroup()?.freeze()?),
        state => Err(OciError::NotRunning {
            operation: "pause",
            state,
        }),
    }
}

/// Lets them go on.
pub(super) fn resume(root: &Path, id: &str) -> Result<(), OciError> {
    let record = Record::load(root, id)?;
    match record.status(root)? {
        Status::Paused => Ok(record.cgroup()?.thaw()?),
        state => Err(OciError::State {
            operation: "resume",
            state,
        }),
    }
}

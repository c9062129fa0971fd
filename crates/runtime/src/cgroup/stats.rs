//! What a container uses, at one moment.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Cgroup, CgroupError, read_optional};

/// What a container uses. Counters run from its start; what the kernel does not count is 0 or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, in nanoseconds.
    pub cpu_total_ns: u64,
    /// Of this in the kernel.
    pub cpu_kernel_ns: u64,
    /// Of this outside the kernel.
    pub cpu_user_ns: u64,
    /// Processor time by processor, in nanoseconds (version 1 only).
    pub cpu_percpu_ns: Vec<u64>,
    /// Scheduling periods.
    pub cpu_periods: u64,
    /// Of these with the quota used up.
    pub cpu_throttled_periods: u64,
    /// Time spent waiting for the next period, in nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory in use, in bytes, page cache included.
    pub memory_bytes: u64,
    /// Most ever in use, in bytes (version 1 only).
    pub memory_max_bytes: u64,
    /// The limit, in bytes; `None` is none.
    pub memory_limit_bytes: Option<u64>,
    /// How often the limit was hit.
    pub memory_limit_hits: u64,
    /// Detailed memory counters, by the kernel's names.
    pub memory_stat: BTreeMap<String, u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Most of them; `None` is unlimited.
    pub pids_limit: Option<u64>,
    /// Block I/O, in bytes.
    pub io_bytes: Vec<BlockIo>,
    /// Block I/O, in operations.
    pub io_operations: Vec<BlockIo>,
    /// The version of the hierarchy that this was read from: 1 or 2.
    pub version: u8,
}

/// One block I/O counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockIo {
    /// Device number, major part.
    pub major: u64,
    /// Device number, minor part.
    pub minor: u64,
    /// As the kernel's version 1 names it: `Read`, `Write`, `Sync`, `Discard`.
    pub operation: String,
    /// The counter.
    pub value: u64,
}

/// Version 1 shows "no limit" as the largest multiple of a page.
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_f000;

/// The unit of processor time in version 1's `cpuacct.stat`: a hundredth of a second, which
/// `USER_HZ` is on every architecture that we run on.
const NS_PER_TICK: u64 = 10_000_000;

impl Cgroup {
    /// What it uses now.
    ///
    /// # Errors
    /// When a counter cannot be read or understood. A missing cgroup uses nothing.
    pub fn usage(&self) -> Result<Usage, CgroupError> {
        if self.host.is_unified() {
            self.usage_v2()
        } else {
            self.usage_v1()
        }
    }

    fn usage_v1(&self) -> Result<Usage, CgroupError> {
        let mut usage = Usage {
            version: 1,
            ..Usage::default()
        };
        if let Some(directory) = self.directory_of("cpuacct") {
            usage.cpu_total_ns = number(&directory.join("cpuacct.usage"))?.unwrap_or(0);
            let times = table(&directory.join("cpuacct.stat"))?;
            usage.cpu_user_ns = field(&times, "user") * NS_PER_TICK;
            usage.cpu_kernel_ns = field(&times, "system") * NS_PER_TICK;
            let percpu =
                read_optional(&directory.join("cpuacct.usage_percpu"))?.unwrap_or_default();
            usage.cpu_percpu_ns = percpu
                .split_whitespace()
                .filter_map(|value| value.parse().ok())
                .collect();
        }
        if let Some(directory) = self.directory_of("cpu") {
            let periods = table(&directory.join("cpu.stat"))?;
            usage.cpu_periods = field(&periods, "nr_periods");
            usage.cpu_throttled_periods = field(&periods, "nr_throttled");
            usage.cpu_throttled_ns = field(&periods, "throttled_time");
        }
        if let Some(directory) = self.directory_of("memory") {
            usage.memory_bytes = number(&directory.join("memory.usage_in_bytes"))?.unwrap_or(0);
            usage.memory_max_bytes =
                number(&directory.join("memory.max_usage_in_bytes"))?.unwrap_or(0);
            usage.memory_limit_bytes = number(&directory.join("memory.limit_in_bytes"))?
                .filter(|limit| *limit < V1_UNLIMITED);
            usage.memory_limit_hits = number(&directory.join("memory.failcnt"))?.unwrap_or(0);
            usage.memory_stat = table(&directory.join("memory.stat"))?;
        }
        self.pids(&mut usage)?;
        if let Some(directory) = self.directory_of("blkio") {
            usage.io_bytes = block_io_v1(&directory.join("blkio.throttle.io_service_bytes"))?;
            usage.io_operations = block_io_v1(&directory.join("blkio.throttle.io_serviced"))?;
        }
        Ok(usage)
    }

    fn usage_v2(&self) -> Result<Usage, CgroupError> {
        let mut usage = Usage {
            version: 2,
            ..Usage::default()
        };
        let Some(directory) = self.v2_directory() else {
            return Ok(usage);
        };
        let cpu = table(&directory.join("cpu.stat"))?;
        usage.cpu_total_ns = field(&cpu, "usage_usec") * 1000;
        usage.cpu_user_ns = field(&cpu, "user_usec") * 1000;
        usage.cpu_kernel_ns = field(&cpu, "system_usec") * 1000;
        usage.cpu_periods = field(&cpu, "nr_periods");
        usage.cpu_throttled_periods = field(&cpu, "nr_throttled");
        usage.cpu_throttled_ns = field(&cpu, "throttled_usec") * 1000;
        usage.memory_bytes = number(&directory.join("memory.current"))?.unwrap_or(0);
        usage.memory_limit_bytes = number(&directory.join("memory.max"))?;
        usage.memory_limit_hits = field(&table(&directory.join("memory.events"))?, "max");
        usage.memory_stat = table(&directory.join("memory.stat"))?;
        self.pids(&mut usage)?;
        let io = read_optional(&directory.join("io.stat"))?.unwrap_or_default();
        (usage.io_bytes, usage.io_operations) = block_io_v2(&io);
        Ok(usage)
    }

    fn pids(&self, usage: &mut Usage) -> Result<(), CgroupError> {
        if let Some(directory) = self.directory_of("pids") {
            usage.pids = number(&directory.join("pids.current"))?.unwrap_or(0);
            usage.pids_limit = number(&directory.join("pids.max"))?;
        }
        Ok(())
    }
}

/// A file with one number; `max` is `None`, as is a missing file.
fn number(path: &Path) -> Result<Option<u64>, CgroupError> {
    let Some(content) = read_optional(path)? else {
        return Ok(None);
    };
    match content.trim() {
        "max" => Ok(None),
        text => text.parse().map(Some).map_err(|_| CgroupError::Content {
            path: path.to_owned(),
            content,
        }),
    }
}

/// A file with a name and a number a line; other lines are passed over.
fn table(path: &Path) -> Result<BTreeMap<String, u64>, CgroupError> {
    let content = read_optional(path)?.unwrap_or_default();
    let lines = content.lines().filter_map(|line| line.split_once(' '));
    Ok(lines
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

fn field(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines such as `8:0 Read 4096`; the last one, a total, has no device.
fn block_io_v1(path: &Path) -> Result<Vec<BlockIo>, CgroupError> {
    let content = read_optional(path)?.unwrap_or_default();
    let parse = |line: &str| {
        let mut parts = line.split(' ');
        let (major, minor) = device(parts.next()?)?;
        let operation = parts.next()?.to_owned();
        Some(BlockIo {
            major,
            minor,
            operation,
            value: parts.next()?.parse().ok()?,
        })
    };
    Ok(content.lines().filter_map(parse).collect())
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`; answers bytes and operations.
fn block_io_v2(content: &str) -> (Vec<BlockIo>, Vec<BlockIo>) {
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for line in content.lines() {
        let mut parts = line.split(' ');
        let Some((major, minor)) = parts.next().and_then(device) else {
            continue;
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let (list, operation) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "dbytes" => (&mut bytes, "Discard"),
                "rios" => (&mut operations, "Read"),
                "wios" => (&mut operations, "Write"),
                "dios" => (&mut operations, "Discard"),
                _ => continue,
            };
            list.push(BlockIo {
                major,
                minor,
                operation: operation.to_owned(),
                value,
            });
        }
    }
    (bytes, operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_block_counters_are_split_into_bytes_and_operations() {
        let (bytes, operations) =
            block_io_v2("8:16 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n7:0 \n");
        assert_eq!(bytes.len(), 3);
        assert_eq!(
            bytes[0],
            BlockIo {
                major: 8,
                minor: 16,
                operation: "Read".to_owned(),
                value: 4096
            }
        );
        assert_eq!(operations[0].value, 1);
    }
}

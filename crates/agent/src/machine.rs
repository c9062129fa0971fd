//! What this machine has, as the kernel tells it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use jiff::Timestamp;
use model::node::NodeSpec;

/// Why it is not known what this machine has.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file of the kernel cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file of the kernel holds something else than it should.
    #[error("find {what} in {}", path.display())]
    Find {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Processors, memory, kernel, operating system and boot of this machine. What only an engine
/// knows (control groups, occupied address ranges, warnings) is left empty.
///
/// # Errors
/// Fails where `/proc` is not mounted or holds nonsense.
pub fn read() -> Result<NodeSpec, MachineError> {
    let memory = file("/proc/meminfo")?;
    let memory_bytes = memory_bytes(&memory).ok_or_else(|| MachineError::Find {
        what: "MemTotal",
        path: "/proc/meminfo".into(),
    })?;
    let pid_max = file("/proc/sys/kernel/pid_max")?;
    let pid_max = pid_max.trim().parse().map_err(|_| MachineError::Find {
        what: "a number",
        path: "/proc/sys/kernel/pid_max".into(),
    })?;
    // A machine without the file is one without a name, not one that cannot run anything.
    let release = file("/etc/os-release")
        .or_else(|_| file("/usr/lib/os-release"))
        .unwrap_or_default();
    let processors = available_parallelism().map_err(|source| MachineError::Read {
        path: "/sys/devices/system/cpu".into(),
        source,
    })?;
    Ok(NodeSpec {
        cpu_milli: processors.get() as u64 * 1_000,
        memory_bytes,
        pid_max,
        kernel: file("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        operating_system: os_release(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        os_version: os_release(&release, "VERSION_ID").unwrap_or_default(),
        booted_at: booted_at(&file("/proc/stat")?),
        boot_id: file("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        ..NodeSpec::default()
    })
}

fn file(path: &str) -> Result<String, MachineError> {
    fs::read_to_string(path).map_err(|source| MachineError::Read {
        path: Path::new(path).to_owned(),
        source,
    })
}

/// `btime` of proc_stat(5).
fn booted_at(text: &str) -> Option<Timestamp> {
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(seconds.trim().parse().ok()?).ok()
}

/// `MemTotal` of proc_meminfo(5).
fn memory_bytes(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// One value of os-release(5).
fn os_release(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let spec = read().unwrap();
        assert!(spec.cpu_milli >= 1_000 && spec.memory_bytes > 1 << 20 && spec.pid_max > 0);
        assert_eq!(spec.boot_id.len(), 36);
        assert!(!spec.kernel.is_empty() && !spec.kernel.ends_with('\n'));
    }

    #[test]
    fn values_are_found_whole() {
        assert_eq!(
            memory_bytes("MemFree: 1 kB\nMemTotal:       16 kB\n"),
            Some(16_384)
        );
        assert_eq!(memory_bytes("MemTotal: many kB\n"), None);
        let text = "NAME=x\nPRETTY_NAME=\"Some Linux 1 (one)\"\nVERSION_ID='1'\n";
        assert_eq!(
            os_release(text, "PRETTY_NAME").unwrap(),
            "Some Linux 1 (one)"
        );
        assert_eq!(os_release(text, "VERSION_ID").unwrap(), "1");
        assert_eq!(os_release(text, "VERSION"), None);
    }
}

//! The least that limits a process: a new cgroup in each hierarchy that has controllers of use (and
//! the version 2 one), three limits, and the way in.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Where version 1 hierarchies and that of version 2 are, beside or instead of each other.
const HIERARCHIES: [&str; 8] = [
    "memory", "cpu", "cpuacct", "blkio", "pids", "devices", "unified", "",
];

/// File and value, as in the specification of [`crate::world::World`]; those of version 1, then 2.
const LIMITS: [(&str, &str); 6] = [
    ("memory.limit_in_bytes", "536870912"),
    ("cpu.cfs_quota_us", "100000"),
    ("memory.max", "536870912"),
    ("cpu.max", "100000"),
    ("pids.max", "100"),
    ("memory.memsw.limit_in_bytes", "1073741824"),
];

/// A cgroup to be made, in every hierarchy.
pub(crate) struct Cgroups {
    directories: Vec<PathBuf>,
}

/// Ways in: `tasks` of version 1, to be written to, and the directory of version 2.
pub(crate) struct Entry {
    pub(crate) tasks: Vec<File>,
    pub(crate) v2: Option<File>,
}

impl Cgroups {
    pub(crate) fn new(name: &str) -> Self {
        let mounts = HIERARCHIES.map(|hierarchy| PathBuf::from("/sys/fs/cgroup").join(hierarchy));
        let mut directories: Vec<PathBuf> = mounts
            .iter()
            .filter(|mount| mount.join("cgroup.procs").exists())
            // Controllers that are mounted together have a name each for the one place.
            .map(|mount| mount.canonicalize().unwrap().join(name))
            .collect();
        directories.sort();
        directories.dedup();
        Self { directories }
    }

    pub(crate) fn make(&self) -> Entry {
        let mut entry = Entry {
            tasks: Vec::new(),
            v2: None,
        };
        for directory in &self.directories {
            std::fs::create_dir(directory).unwrap();
            for (file, value) in LIMITS {
                // Each is in one hierarchy only.
                if let Ok(mut file) = OpenOptions::new().write(true).open(directory.join(file)) {
                    file.write_all(value.as_bytes()).unwrap();
                }
            }
            match OpenOptions::new().write(true).open(directory.join("tasks")) {
                Ok(tasks) => entry.tasks.push(tasks),
                Err(_) => entry.v2 = Some(File::open(directory).unwrap()),
            }
        }
        entry
    }

    pub(crate) fn remove(&self) {
        for directory in &self.directories {
            std::fs::remove_dir(directory).unwrap();
        }
    }
}

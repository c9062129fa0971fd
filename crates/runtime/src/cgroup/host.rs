//! Which cgroup hierarchies this host has: version 1, version 2, or both side by side.
//!
//! Read once from the mount table; a host does not change it while it runs.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The hierarchies of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Version 1 hierarchies that have controllers.
    pub(crate) v1: Vec<V1>,
    /// Mount point of the version 2 hierarchy.
    pub(crate) v2: Option<PathBuf>,
}

/// One version 1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V1 {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// Its controllers: one, or several mounted together (`cpu,cpuacct`).
    pub(crate) controllers: Vec<String>,
}

impl V1 {
    /// Whether this controller is one of its.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// Controllers that a mount table's options may name; everything else in them is no controller.
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

impl Hierarchies {
    /// Those of this host.
    pub(crate) fn of_this_host() -> &'static Self {
        static HOST: OnceLock<Hierarchies> = OnceLock::new();
        HOST.get_or_init(|| {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            Self::from_mountinfo(&table)
        })
    }

    /// Reads `/proc/self/mountinfo` (proc(5)).
    fn from_mountinfo(table: &str) -> Self {
        let mut found = Self::default();
        for line in table.lines() {
            let Some((mount, system)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = mount.split(' ').nth(4) else {
                continue;
            };
            let point = PathBuf::from(point.replace("\\040", " "));
            let mut system = system.split(' ');
            match (system.next(), system.nth(1)) {
                (Some("cgroup2"), _) => {
                    let _mount = found.v2.get_or_insert(point);
                }
                (Some("cgroup"), Some(options)) => {
                    let controllers: Vec<String> = options
                        .split(',')
                        .filter(|word| CONTROLLERS.contains(word))
                        .map(str::to_owned)
                        .collect();
                    let known = found
                        .v1
                        .iter()
                        .any(|other| other.controllers == controllers);
                    if !controllers.is_empty() && !known {
                        found.v1.push(V1 {
                            mount: point,
                            controllers,
                        });
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Limits are version 2's: there is no controller in a version 1 hierarchy.
    pub(crate) fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// Where the version 1 hierarchy of a controller is mounted.
    pub(crate) fn v1_of(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|v1| v1.has(controller));
        found.map(|v1| v1.mount.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_has_both() {
        let host = Hierarchies::from_mountinfo(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(
            host.v1_of("cpuacct"),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(host.v1.len(), 1);
        assert_eq!(
            host.v2.as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        assert!(!host.is_unified());
    }

    #[test]
    fn a_modern_host_has_one() {
        let host = Hierarchies::from_mountinfo(
            "25 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n",
        );
        assert!(host.is_unified());
    }
}

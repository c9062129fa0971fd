//! What a container's processes are allowed to do.

use serde::{Deserialize, Serialize};

/// Paths hidden from a container that names none; a node may hide further ones of its hardware.
///
/// Source: moby, `daemon/pkg/oci/defaults.go`.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Paths that a container that names none can only read. Source: as [`MASKED_PATHS`].
pub const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// Privileges of one container.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Every capability and device that the node itself has, no seccomp, nothing masked.
    pub privileged: bool,
    /// Capabilities beyond the default set, by kernel name (`CAP_NET_ADMIN`) or `ALL`.
    pub capabilities_add: Vec<String>,
    /// Capabilities taken from the default set, by kernel name or `ALL`.
    pub capabilities_drop: Vec<String>,
    /// `setuid` programs give no privileges.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Supplementary groups, by number or by name in the container's `/etc/group`.
    pub groups: Vec<String>,
    /// Paths hidden from the container; `None` is the engine's default list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that the container can only read; `None` is the engine's default list.
    pub read_only_paths: Option<Vec<String>>,
    /// How the container's user ids map to the node's.
    pub user_namespace: UserNamespace,
    /// Rules beside the default device allow-list, as the kernel writes them: `c 1:3 rwm`.
    pub device_rules: Vec<String>,
    /// Adjusts how early the kernel kills it when memory runs out, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// The system call filter of one container.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// The engine's default profile.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// This profile, in Docker's JSON form.
    Profile(String),
}

/// How user ids inside map to user ids of the node.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserNamespace {
    /// No user namespace: an id inside is the same id outside.
    #[default]
    Host,
    /// Ids from 0 map to `first` and up.
    Range {
        /// The first id on the node.
        first: u32,
        /// How many ids there are.
        count: u32,
    },
}

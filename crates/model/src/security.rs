//! What a container's processes are allowed to do.

use serde::{Deserialize, Serialize};

/// Every capability of Linux 6.x by its kernel name, in the kernel's order: the first is bit 0.
///
/// Source: Linux, `include/uapi/linux/capability.h`.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
/// Capabilities of a container that names none.
///
/// Source: moby, `daemon/pkg/oci/caps/defaults.go`.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// Paths hidden from a container that names none; a node may hide further ones of its hardware.
///
/// Source: moby, `daemon/pkg/oci/defaults.go`, in the order in which it tells them.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
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
    /// Whether it may change the control groups that it sees, which are its own; `None` is as
    /// `privileged`.
    pub writable_cgroups: Option<bool>,
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

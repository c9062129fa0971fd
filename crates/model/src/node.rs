//! A node: one machine that runs instances.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::Meta;
use crate::network::Cidr;

/// A machine as its agent announced it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Identity; the name is the machine's host name.
    pub meta: Meta,
    /// What it has.
    pub spec: NodeSpec,
    /// What its operator says of it. Written by `actions`, all else by its agent.
    #[serde(default)]
    pub orders: Orders,
}

/// What an operator says of a machine, whatever it has.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// New instances are not placed here.
    pub cordoned: bool,
    /// Why.
    pub reason: Option<String>,
    /// It counts as not ready, whatever its agent says.
    pub forced_down: bool,
}

/// What a machine has.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Processor time, in thousandths of one processor.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Most processes that its kernel numbers.
    pub pid_max: u64,
    /// Kernel release, `6.18.0`.
    pub kernel: String,
    /// Machine architecture, as Rust names it: `x86_64`.
    pub architecture: String,
    /// Name of the operating system, from `os-release`.
    pub operating_system: String,
    /// Version of the operating system, from `os-release`.
    pub os_version: String,
    /// Which cgroup hierarchy limits are set in: 1 or 2.
    pub cgroup_version: u8,
    /// Its kernel has weights of block I/O.
    pub has_io_weights: bool,
    /// What the kernel cannot do that users may ask for, one sentence each.
    pub warnings: Vec<String>,
    /// Capabilities that its root does not have, by kernel name; containers run without them.
    pub missing_capabilities: Vec<String>,
    /// Address ranges that its other interfaces and routes use.
    pub occupied: Vec<Cidr>,
    /// Size of the file system that instances are kept on, in bytes.
    pub disk_bytes: u64,
    /// When it was started.
    pub booted_at: Option<Timestamp>,
    /// Identity of this boot.
    pub boot_id: String,
}

/// What the agent last saw of its machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The agent answers.
    pub ready: bool,
    /// When it last said so.
    pub seen_at: Timestamp,
}

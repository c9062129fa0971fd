//! One container of an instance: a root file system, a process and what is around it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::instance::Protocol;
use crate::resources::Resources;
use crate::security::Security;

/// What a container is made from and how its process runs.
///
/// Where a field is `None` the image's own setting holds; [`crate::image::Defaults`] has them.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image as the user wrote it, for showing.
    pub image: String,
    /// The image's identity: digest of its configuration, `sha256:...`. Set once, at creation. Empty
    /// where the root is a volume, which is the mount at [`Mount::ROOT`].
    pub image_id: String,
    /// Arguments, the program first, with the image's entrypoint and command already merged in.
    pub args: Vec<String>,
    /// How many of `args` are the entrypoint; the others are the command.
    pub entrypoint_args: usize,
    /// `NAME=value`: what the request names, then what the image adds.
    pub env: Vec<String>,
    /// Variables that no record is to hold: absolute paths, on the node, of files with what the first
    /// process finds in them. They win over `env`.
    pub env_files: BTreeMap<String, String>,
    /// Ports that its program listens on: told to others, opened to nobody.
    pub exposed_ports: BTreeSet<(u16, Protocol)>,
    /// Working directory inside the container; made when missing.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`, looked up in the container; empty is root.
    pub user: String,
    /// Standard streams are a pseudo-terminal.
    pub tty: bool,
    /// Standard input stays open though nobody is attached.
    pub open_stdin: bool,
    /// Standard input closes when the first attached client leaves.
    pub stdin_once: bool,
    /// Terminal size at start, rows and columns.
    pub terminal_size: Option<TerminalSize>,
    /// Runs a small init as process 1 that forwards signals and reaps.
    pub init: bool,
    /// Signal that asks the process to stop: name or number.
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and the kill; `-1` waits for ever.
    pub stop_timeout_secs: Option<i64>,
    /// File systems beside the root; and the root, where that is a volume.
    pub mounts: Vec<Mount>,
    /// Devices of the node made visible inside.
    pub devices: Vec<Device>,
    /// The root file system cannot be written.
    pub read_only_root: bool,
    /// Size of `/dev/shm`, in bytes; `None` is 64 MiB.
    pub shm_size_bytes: Option<u64>,
    /// Kernel parameters of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Limits and weights.
    pub resources: Resources,
    /// It may make control groups in its own, within its limits: its program is the init of a system
    /// that does.
    pub makes_cgroups: bool,
    /// Privileges.
    pub security: Security,
    /// How its health is found out; `None`, or one without arguments, has no check.
    pub health_check: Option<HealthCheck>,
    /// Where its output is kept.
    pub log: LogConfig,
}

impl ContainerSpec {
    /// The identities of the images that it is made of: its own, and those that it mounts.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let mounted = self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Image { id, .. } => Some(id.as_str()),
            MountSource::Bind { .. } | MountSource::Volume { .. } | MountSource::Tmpfs { .. } => {
                None
            }
        });
        std::iter::once(self.image_id.as_str()).chain(mounted)
    }

    /// The names of the volumes that it mounts.
    pub fn volumes(&self) -> impl Iterator<Item = &String> {
        self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name),
            MountSource::Bind { .. } | MountSource::Image { .. } | MountSource::Tmpfs { .. } => {
                None
            }
        })
    }
}

/// Size of a terminal, in character cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// A file system visible in the container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Writes are refused.
    #[serde(default)]
    pub read_only: bool,
}

impl Mount {
    /// The target of a volume that is the root file system, in the place of an image.
    pub const ROOT: &str = "/";

    /// It is the root file system.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.target == Self::ROOT
    }
}

/// What a mount shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A path of the node.
    Bind {
        /// Absolute path on the node.
        path: String,
        /// `private`, `rprivate`, `shared`, `rshared`, `slave` or `rslave`.
        propagation: Propagation,
        /// Make the path as a directory when it is missing, instead of refusing.
        create: bool,
        /// Leave out file systems mounted below the path.
        non_recursive: bool,
        /// With a read-only mount: leave file systems mounted below it writable.
        read_only_non_recursive: bool,
    },
    /// A volume of the same project, by name.
    Volume {
        /// The volume's name.
        name: String,
        /// It was made for this container and goes with it.
        anonymous: bool,
        /// Do not copy what the image has at the target into an empty volume.
        no_copy: bool,
        /// Mount what is at this path of the volume instead of its root.
        #[serde(default)]
        subpath: String,
    },
    /// What is in an image, read-only.
    Image {
        /// The image as the user wrote it, for showing.
        name: String,
        /// As [`ContainerSpec::image_id`].
        id: String,
        /// Mount what is at this path of the image instead of its root.
        subpath: String,
    },
    /// Memory, empty at every start.
    Tmpfs {
        /// Most bytes; `None` is the kernel's default.
        size_bytes: Option<u64>,
        /// Permission bits of its root.
        mode: Option<u32>,
        /// Further options, as `mount` takes them.
        options: Vec<String>,
    },
}

/// How mounts made later travel between the node and the container.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(
    missing_docs,
    reason = "the names are the kernel's, explained in mount_namespaces(7)"
)]
pub enum Propagation {
    Private,
    #[default]
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
}

/// A device of the node made visible inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Path on the node: a device, or a directory of devices.
    pub host_path: String,
    /// Path inside.
    pub container_path: String,
    /// What may be done with it, of `r`, `w` and `m`.
    pub permissions: String,
}

/// How to find out whether a container works. Times in nanoseconds; zero is the default.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// The program and its arguments, run inside; healthy when it exits with 0.
    pub args: Vec<String>,
    /// Between two checks; 30 s when zero.
    pub interval_ns: u64,
    /// Until a check counts as failed; 30 s when zero.
    pub timeout_ns: u64,
    /// After the start, while failures do not count.
    pub start_period_ns: u64,
    /// Between two checks during the start period; 5 s when zero.
    pub start_interval_ns: u64,
    /// Failures in a row until it is unhealthy; 3 when zero.
    pub retries: u32,
}

/// What is written beside each line of a log, by name.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LogDetails {
    /// The labels of these names.
    pub labels: Vec<String>,
    /// The labels whose name has a match of this regular expression; empty is none.
    pub labels_matching: String,
    /// The variables of these names.
    pub env: Vec<String>,
    /// The variables whose name has a match of this regular expression; empty is none.
    pub env_matching: String,
    /// What is called `tag`, in parts; nothing is none.
    pub tag: Vec<TagPart>,
}

/// A part of the tag of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagPart {
    /// This text.
    Text(String),
    /// The first digits of the instance's identity.
    Id,
    /// The instance's name.
    Name,
    /// The image as the user wrote it.
    Image,
    /// The image's identity.
    ImageId,
    /// The first characters of the image's identity.
    ShortImageId,
}

/// Where output is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogConfig {
    /// One JSON object a line, as Docker's `json-file` driver writes it; its `local` is kept so, too.
    JsonFile {
        /// Bytes in one file before it is rotated; `None` never rotates.
        max_size_bytes: Option<u64>,
        /// Most files, the current one included.
        max_files: u32,
        /// All but the current one are compressed.
        #[serde(default)]
        compress: bool,
        /// What each line tells of its container.
        #[serde(default)]
        details: LogDetails,
    },
    /// Nothing is kept.
    None,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::JsonFile {
            max_size_bytes: None,
            max_files: 1,
            compress: false,
            details: LogDetails::default(),
        }
    }
}

//! What it takes to start a process in a container, in the words of the OCI runtime
//! specification where it has them.
//!
//! The engine and the OCI command line fill these in; [`crate::start`] carries them out, inside the
//! keeper. They travel between daemon and keeper as JSON, and one side may be older: add fields
//! with a default, never change a meaning.

use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

/// A container to start.
///
/// `process.user.username` is read as `user[:group]`, names or numbers, looked up in the container's
/// own `/etc/passwd` and `/etc/group`; it wins over the numbers beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// Key of the container on this host; also the last part of its cgroup path.
    pub id: String,
    /// What to run and with which namespaces, mounts and limits. `root.path` is not read:
    /// [`Launch::rootfs`] says where the root is. `linux.seccomp` is not read:
    /// [`Launch::seccomp`] is the compiled filter. A network namespace with a path is joined.
    pub spec: Spec,
    /// The root file system.
    pub rootfs: Rootfs,
    /// Supplementary groups beside those of `process.user`, by number or by name in the container.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The compiled system call filter: classic BPF, 8 bytes an instruction, host byte order.
    #[serde(default, with = "crate::launch::base64_bytes")]
    pub seccomp: Vec<u8>,
    /// Runs our small init as process 1, which forwards signals and reaps.
    #[serde(default)]
    pub init: bool,
    /// Grants what the host itself has of the capabilities asked for, instead of refusing.
    #[serde(default)]
    pub clamp_capabilities: bool,
    /// Standard streams.
    pub stdio: Stdio,
    /// Where output is kept.
    #[serde(default)]
    pub log: LogTarget,
    /// Anything the caller wants back when it finds the container again.
    #[serde(default)]
    pub note: serde_json::Value,
}

/// A further process in a container that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exec {
    /// Key of the process, unique in its container.
    pub id: String,
    /// Key of the container.
    pub container: String,
    /// What to run.
    pub process: Process,
    /// As [`Launch::seccomp`].
    #[serde(default, with = "crate::launch::base64_bytes")]
    pub seccomp: Vec<u8>,
    /// As [`Launch::groups`].
    #[serde(default)]
    pub groups: Vec<String>,
    /// As [`Launch::clamp_capabilities`].
    #[serde(default)]
    pub clamp_capabilities: bool,
    /// Standard streams.
    pub stdio: Stdio,
    /// Anything the caller wants back when it finds the process again.
    #[serde(default)]
    pub note: serde_json::Value,
}

/// A root file system. Mounted in the container's own mount namespace only, so that nothing of it
/// is left on the host when the container ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// A directory of the host.
    Directory(PathBuf),
    /// Layers, the topmost first, with a writable layer over them.
    Overlay {
        /// Read-only layers, the topmost first; any number.
        lower: Vec<PathBuf>,
        /// What is written.
        upper: PathBuf,
        /// The kernel's scratch directory, on the same file system as `upper`.
        work: PathBuf,
    },
    /// A file system on a device of the host, written as it is.
    Device {
        /// `ext4`.
        kind: String,
        /// The device: `/dev/loop0`.
        device: PathBuf,
        /// Options of a mount, as in the specification's mounts.
        options: Vec<String>,
    },
}

/// Standard streams of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// They are a pseudo-terminal of this size (rows, columns).
    #[serde(default)]
    pub terminal: Option<(u16, u16)>,
    /// It has a standard input that is held open; otherwise it reads `/dev/null`.
    #[serde(default)]
    pub stdin: bool,
    /// Its output goes nowhere but to attachments made before the start, and is not waited for.
    #[serde(default)]
    pub discard_output: bool,
}

/// Where output is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    None,
    /// One JSON object a line, as Docker's `json-file` driver: `log`, `stream`, `attrs`, `time`.
    JsonFile(LogFile),
}

/// A log in files, rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The current file; older ones get `.1`, `.2` and so on.
    pub path: PathBuf,
    /// Bytes in one file before it is rotated; `None` never rotates.
    pub max_size_bytes: Option<u64>,
    /// Most files, the current one included.
    pub max_files: u32,
    /// Somebody compresses older files to `.1.gz` and so on, and holds the lock (flock(2)) of the
    /// directory while they get these names: a rotation has to find it free.
    #[serde(default)]
    pub compressed_by_other: bool,
    /// A JSON object that stands in each line as `attrs`; empty is none.
    #[serde(default)]
    pub attributes: String,
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What kind of failure it is.
    pub kind: StartErrorKind,
    /// What was tried, on what, and what the kernel answered. For a missing program it has runc's
    /// words, which clients look for: `exec: "nosuch": executable file not found in $PATH`.
    pub message: String,
}

/// Kinds of failure of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartErrorKind {
    /// The program does not exist.
    CommandNotFound,
    /// The program cannot be run.
    CommandNotExecutable,
    /// The request asks for what cannot be: a bad mount, user, sysctl or limit.
    Invalid,
    /// The host failed.
    Internal,
}

impl StartError {
    /// The error with its causes, in one line.
    pub(crate) fn caused(kind: StartErrorKind, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // The kernel's words without Rust's "(os error 2)", as people know them.
            let text = text.split(" (os error ").next().unwrap_or_default();
            message.push_str(": ");
            if error.downcast_ref::<rustix::io::Errno>().is_some()
                || error.downcast_ref::<std::io::Error>().is_some()
            {
                message.push_str(&text.to_lowercase());
            } else {
                message.push_str(text);
            }
            cause = error.source();
        }
        Self { kind, message }
    }

    /// What was asked for cannot be.
    pub(crate) fn invalid(error: &dyn std::error::Error) -> Self {
        Self::caused(StartErrorKind::Invalid, error)
    }

    /// The host failed.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::caused(StartErrorKind::Internal, error)
    }
}

/// Bytes as base64 text, for JSON.
pub(crate) mod base64_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(serde::de::Error::custom)
    }
}

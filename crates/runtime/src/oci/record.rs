//! What is kept of a container between two commands: a directory below `--root` with `state.json`
//! and, until it is started, the FIFO that its process waits at.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Hooks;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::SPECIFICATION;
use crate::cgroup::{Cgroup, CgroupError};

/// Why the stored state could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// No such container. The words are `runc`'s, which `containerd` looks for.
    #[error("container {0:?} does not exist: container does not exist")]
    Missing(String),
    /// The name is taken.
    #[error("container with given ID already exists: {0:?}")]
    Taken(String),
    /// The name would lead elsewhere.
    #[error("invalid container ID {0:?}: only letters, digits, and _ + - . are allowed")]
    Name(String),
    /// The file system refused.
    #[error("{attempt} {}", path.display())]
    Refused {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("understand {}", path.display())]
    Corrupt {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// The cgroup could not be looked at.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// What is known of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// 0 while it is created.
    pub(super) pid: u32,
    /// When the process began, in the kernel's ticks: with the id it names a process for good.
    pub(super) started_ticks: u64,
    pub(super) created: String,
    pub(super) cgroups_path: String,
    pub(super) hooks: Option<Hooks>,
    pub(super) annotations: HashMap<String, String>,
    pub(super) owner: u32,
}

/// The state of a container, in the words of `runtime.md`, "State", and of `runc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// Name of the FIFO that a created container waits at.
pub(super) const FIFO: &str = "exec.fifo";
const STATE: &str = "state.json";

/// The directory of a container.
pub(super) fn directory(root: &Path, id: &str) -> Result<PathBuf, RecordError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
    if id.is_empty() || id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(RecordError::Name(id.to_owned()));
    }
    Ok(root.join(id))
}

impl Record {
    /// Takes the name and makes the directory.
    pub(super) fn reserve(root: &Path, id: &str) -> Result<PathBuf, RecordError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let directory = directory(root, id)?;
        let refused = |path: &Path, source| RecordError::Refused {
            attempt: "make",
            path: path.to_owned(),
            source,
        };
        let make = |path: &Path, recursive| {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(recursive)
                .create(path)
        };
        make(root, true).map_err(|error| refused(root, error))?;
        match make(&directory, false) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(RecordError::Taken(id.to_owned()))
            }
            answer => answer
                .map_err(|error| refused(&directory, error))
                .map(|()| directory),
        }
    }

    /// Reads a container's record.
    pub(super) fn load(root: &Path, id: &str) -> Result<Self, RecordError> {
        let path = directory(root, id)?.join(STATE);
        let content = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RecordError::Missing(id.to_owned()));
            }
            answer => answer.map_err(|source| RecordError::Refused {
                attempt: "read",
                path: path.clone(),
                source,
            })?,
        };
        serde_json::from_slice(&content).map_err(|source| RecordError::Corrupt { path, source })
    }

    /// Writes it, whole or not at all.
    pub(super) fn store(&self, root: &Path) -> Result<(), RecordError> {
        let path = directory(root, &self.id)?.join(STATE);
        let new = path.with_extension("new");
        let content = serde_json::to_vec(self).map_err(|source| RecordError::Corrupt {
            path: path.clone(),
            source,
        })?;
        std::fs::write(&new, content)
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|source| RecordError::Refused {
                attempt: "write",
                path,
                source,
            })
    }

    /// Removes the directory.
    pub(super) fn forget(root: &Path, id: &str) -> Result<(), RecordError> {
        let path = directory(root, id)?;
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            answer => answer.map_err(|source| RecordError::Refused {
                attempt: "remove",
                path,
                source,
            }),
        }
    }

    /// Where the container stands now.
    pub(super) fn status(&self, root: &Path) -> Result<Status, RecordError> {
        if self.pid == 0 {
            return Ok(Status::Creating);
        }
        if !self.is_alive() {
            return Ok(Status::Stopped);
        }
        if directory(root, &self.id)?.join(FIFO).exists() {
            return Ok(Status::Created);
        }
        let frozen = self.cgroup()?.is_frozen()?;
        Ok(if frozen {
            Status::Paused
        } else {
            Status::Running
        })
    }

    /// A handle on process 1; `None` when it has ended.
    pub(super) fn pidfd(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Checked after it is opened, so the id cannot have become another's in between.
        self.is_alive().then_some(pidfd)
    }

    /// The container's cgroup.
    pub(super) fn cgroup(&self) -> Result<Cgroup, CgroupError> {
        Cgroup::at(&self.cgroups_path)
    }

    fn is_alive(&self) -> bool {
        started_ticks(self.pid).is_ok_and(|(ticks, ended)| ticks == self.started_ticks && !ended)
    }

    /// The state in JSON, as `runtime.md` wants it and hooks read it.
    pub(super) fn state(&self, status: Status) -> serde_json::Value {
        let mut state = serde_json::json!({
            "ociVersion": SPECIFICATION,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "owner": "",
        });
        if let Some(fields) = state.as_object_mut() {
            if status != Status::Stopped {
                fields.insert("pid".to_owned(), self.pid.into());
            } else {
                fields.insert("pid".to_owned(), 0.into());
            }
            if !self.annotations.is_empty() {
                fields.insert(
                    "annotations".to_owned(),
                    serde_json::json!(self.annotations),
                );
            }
        }
        state
    }
}

/// When a process began, in ticks since the machine did, and whether it has ended (proc(5), `stat`).
pub(super) fn started_ticks(pid: u32) -> Result<(u64, bool), io::Error> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let fields = stat
        .rsplit_once(") ")
        .map(|(_, fields)| fields)
        .unwrap_or_default();
    let mut fields = fields.split(' ');
    let ended = matches!(fields.next(), Some("Z" | "X" | "x"));
    let ticks = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    ticks
        .map(|ticks| (ticks, ended))
        .ok_or_else(|| io::Error::from(Errno::SRCH))
}

//! What daemon and keeper say to each other.
//!
//! One side may be older than the other: a field that is not known is skipped, a field that is
//! missing has a default, a call that is not known is refused by name, an event that is not known
//! is skipped. So add, and never change a meaning. [`super::frame`] carries these as JSON;
//! descriptors travel beside them.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::start::status::Phase;

use crate::launch::{Exec, Launch, StartError};

/// Version of the meanings in this file, counted up when a newer side must know what it talks to.
pub const VERSION: u32 = 1;

/// Names a process: the first one of a container, or one executed in it later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessKey {
    /// [`Launch::id`].
    pub container: String,
    /// [`Exec::id`]; `None` is the container's own process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
}

impl ProcessKey {
    /// The first process of a container.
    pub fn container(id: impl Into<String>) -> Self {
        Self {
            container: id.into(),
            exec: None,
        }
    }

    /// A process executed in a container later.
    pub fn exec(container: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            exec: Some(id.into()),
        }
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exec {
            None => formatter.write_str(&self.container),
            Some(exec) => write!(formatter, "{}/{exec}", self.container),
        }
    }
}

/// A process that runs its program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// As the host numbers it.
    pub pid: u32,
    /// When the program was executed.
    pub started_at: Timestamp,
    /// How the start went, in the order of time.
    #[serde(default)]
    pub phases: Vec<Phase>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its exit status, or 128 and the number of the signal that killed it.
    pub code: i32,
    /// When it was found dead.
    pub at: Timestamp,
    /// The kernel killed a process of its container for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
}

/// A process that the keeper knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub key: ProcessKey,
    /// As the host numbers it, or numbered it while it lived.
    pub pid: u32,
    /// When its program was executed.
    pub started_at: Timestamp,
    /// [`Launch::note`] or [`Exec::note`], as given.
    #[serde(default)]
    pub note: serde_json::Value,
    /// It is not the program yet, and may never be: then it is not listed any more.
    #[serde(default)]
    pub is_starting: bool,
    /// How it ended, once it has ended and its output is kept.
    #[serde(default)]
    pub exited: Option<Exited>,
    /// Bytes of output that could not be written to its log (a full disk).
    #[serde(default)]
    pub log_lost_bytes: u64,
}

/// What happens to processes without anyone asking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeeperEvent {
    /// A process ended and its output is kept. Said once to every client that is connected.
    Exited {
        /// Which.
        key: ProcessKey,
        /// How.
        exited: Exited,
    },
    /// The kernel killed a process of this container for want of memory.
    Oom {
        /// Which container.
        key: ProcessKey,
    },
    /// The connection to the keeper broke. Made by the client; nothing comes after it.
    #[serde(skip)]
    Lost,
}

/// The first words of the keeper on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the keeper.
    pub protocol: u32,
    /// The keeper's process id.
    pub pid: u32,
    /// Build of the keeper's program, to see whether it should be upgraded.
    #[serde(default)]
    pub build: String,
}

/// A call, as it travels. The answer has the same `id`; answers come in any order.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    /// Chosen by the caller, unique on its connection.
    pub(super) id: u64,
    /// What is asked.
    pub(super) call: Call,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    /// Starts a container; one descriptor beside it is a network namespace to join.
    Start(Box<Launch>),
    /// Starts a process in a container.
    Exec(Box<Exec>),
    /// Hands out streams of a process, also of one that is yet to start.
    Attach {
        key: ProcessKey,
        stdin: bool,
        output: bool,
    },
    /// Ends a process's standard input once nobody else holds it.
    CloseStdin { key: ProcessKey },
    /// Sets the size of a terminal.
    Resize {
        key: ProcessKey,
        rows: u16,
        columns: u16,
    },
    /// Sends a signal.
    Signal { key: ProcessKey, signal: i32 },
    /// Tells of every process known.
    List,
    /// Drops what is known of a process that ended.
    Forget { key: ProcessKey },
    /// Goes on as another program file, in place.
    Upgrade { exe: PathBuf },
    /// Kills every container and exits.
    Shutdown,
}

/// What the keeper says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Notice {
    /// At the beginning of a connection, and again after an upgrade.
    Hello(Hello),
    /// To a [`Request`].
    Answer { id: u64, answer: Answer },
    /// To everyone.
    Event(KeeperEvent),
}

/// The outcome of a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// The process runs its program.
    Spawned(Spawned),
    /// The process could not be started.
    NotStarted(StartError),
    /// Descriptors are beside it: first output, then standard input, as far as said here.
    Attached { output: bool, stdin: bool },
    /// Every process known.
    Processes(Vec<ProcessState>),
    /// It is not done.
    Refused(Refusal),
}

/// Why the keeper did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It knows no such process.
    #[error("no such process: {0}")]
    NoSuchProcess(ProcessKey),
    /// The process has ended.
    #[error("process {0} is not running")]
    NotRunning(ProcessKey),
    /// The process has not ended.
    #[error("process {0} is running")]
    Running(ProcessKey),
    /// The process was started without this.
    #[error("process {key} has no {stream}")]
    NoStream {
        /// Which process.
        key: ProcessKey,
        /// `terminal`, `standard input`.
        stream: String,
    },
    /// The kernel refused.
    #[error("{attempt}: {cause}")]
    Failed {
        /// What was tried, on what.
        attempt: String,
        /// What the kernel answered.
        cause: String,
    },
    /// The request makes no sense to this keeper.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// The keeper is about to exit.
    #[error("the keeper is shutting down")]
    ShuttingDown,
}

/// As much of a [`Request`] as an unreadable one must have to be answered at all.
#[derive(Debug, Deserialize)]
pub(super) struct Unreadable {
    /// [`Request::id`].
    pub(super) id: u64,
}

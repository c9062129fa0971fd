//! What the keeper knows of one process, and the stages of its life.

use std::os::fd::OwnedFd;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::Log;
use super::protocol::{Exited, ProcessKey, ProcessState};
use super::streams::Streams;
use crate::cgroup::Cgroup;
use crate::launch::StartError;

/// Whom to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Caller {
    /// The connection's number.
    pub(super) client: u32,
    /// The call's.
    pub(super) call: u64,
}

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) key: ProcessKey,
    pub(super) stage: Stage,
    /// Zero until it exists.
    pub(super) pid: u32,
    /// A handle on it, until it is reaped.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) started_at: Timestamp,
    /// The caller's note, as JSON text: it is only ever handed back.
    pub(super) note: Box<str>,
    /// Of a container, until it has ended.
    pub(super) cgroup: Option<Group>,
    pub(super) streams: Streams,
    pub(super) log: Option<Box<Log>>,
}

/// The control group of a container.
#[derive(Debug)]
pub(super) struct Group {
    /// As in its specification's `linux.cgroupsPath`.
    pub(super) path: Box<str>,
    /// Readable when memory ran out; of a container that has a limit.
    pub(super) watch: Option<OwnedFd>,
    /// Processes killed for want of memory, as far as everyone was told.
    pub(super) oom_kills: u64,
    /// How often that count is looked at again, after a signal that it does not account for.
    pub(super) oom_looks: u8,
}

impl Group {
    /// A control group that exists.
    pub(super) fn new(path: Box<str>, is_watched: bool, oom_kills: u64) -> Self {
        // Without a watch, the exit still says whether memory was the reason.
        let watch = if is_watched {
            Cgroup::at(&path)
                .and_then(|cgroup| cgroup.oom_watch())
                .unwrap_or_else(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot watch a container's memory"
                    );
                    None
                })
        } else {
            None
        };
        Self {
            path,
            watch,
            oom_kills,
            oom_looks: 0,
        }
    }

    /// Processes killed for want of memory since this was asked last.
    pub(super) fn new_oom_kills(&mut self) -> u64 {
        let count = Cgroup::at(&self.path)
            .and_then(|cgroup| cgroup.oom_kills())
            .unwrap_or(0);
        let new = count.saturating_sub(self.oom_kills);
        self.oom_kills = count.max(self.oom_kills);
        new
    }
}

/// Where a process is in its life.
#[derive(Debug)]
pub(super) enum Stage {
    /// Somebody is attached already; nothing was started.
    Prepared {
        /// Whose connection keeps it.
        client: u32,
    },
    /// It exists, and is not the program yet.
    Starting(Box<Starting>),
    /// It could not become the program, and is to be reaped.
    Failed(Caller, Box<StartError>),
    /// It is the program.
    Running,
    /// It has ended; its last output is being read.
    Draining(Exited),
    /// It has ended, and everyone was told.
    Ended(Exited),
    /// Nobody asks for it any more, but its output is not all delivered.
    Forgotten,
}

/// A start on its way.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) caller: Caller,
    /// Ends when the program is executed.
    pub(super) status: OwnedFd,
    /// What was read of it.
    pub(super) report: Vec<u8>,
}

impl Process {
    /// One that is yet to start.
    pub(super) fn prepared(key: ProcessKey, number: u32, client: u32) -> Self {
        Self {
            key,
            stage: Stage::Prepared { client },
            pid: 0,
            pidfd: None,
            started_at: Timestamp::UNIX_EPOCH,
            note: "null".into(),
            cgroup: None,
            streams: Streams::new(number),
            log: None,
        }
    }

    /// It lives, or did until a moment ago.
    pub(super) fn is_alive(&self) -> bool {
        matches!(
            self.stage,
            Stage::Starting(_) | Stage::Failed(..) | Stage::Running | Stage::Draining(_)
        )
    }

    /// Whether someone waits for its memory to run out.
    pub(super) fn is_watched(&self) -> bool {
        self.cgroup
            .as_ref()
            .is_some_and(|cgroup| cgroup.watch.is_some())
    }

    /// As clients see it; `None` while it is none of their business.
    pub(super) fn state(&self) -> Option<ProcessState> {
        let (is_starting, exited) = match self.stage {
            Stage::Starting(_) | Stage::Failed(..) => (true, None),
            Stage::Running | Stage::Draining(_) => (false, None),
            Stage::Ended(exited) => (false, Some(exited)),
            Stage::Prepared { .. } | Stage::Forgotten => return None,
        };
        Some(ProcessState {
            key: self.key.clone(),
            pid: self.pid,
            started_at: self.started_at,
            note: serde_json::from_str(&self.note).unwrap_or_default(),
            is_starting,
            exited,
            log_lost_bytes: self.log.as_ref().map_or(0, |log| log.lost_bytes),
        })
    }
}

//! What a starting process tells its parent: when each phase of its set-up ended, and why it
//! failed if it did.
//!
//! One JSON object a line, through a pipe that closes when the program is executed. The child
//! writes; the keeper and the OCI command line read.

use std::os::fd::OwnedFd;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::launch::StartError;

/// The end of one phase of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done: `clone`, `cgroup`, `mounts`.
    pub name: String,
    /// When it ended, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
}

/// One line of the status pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Phases that ended since the last record.
    Phases(Vec<Phase>),
    /// It waits at this stage until it is told to go on.
    Waits(Stage),
    /// The start failed; the process exits.
    Failed(StartError),
}

/// Where a start can be held up, for the OCI command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Namespaces and mounts are made; the host's root is still there.
    Created,
    /// Nothing is left but to execute the program.
    Ready,
}

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The child's end of the pipe.
#[derive(Debug)]
pub(crate) struct Reporter {
    pipe: OwnedFd,
    phases: Vec<Phase>,
}

impl Reporter {
    pub(crate) const fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe,
            phases: Vec::new(),
        }
    }

    /// A phase has ended; it is sent with the next record.
    pub(crate) fn ended(&mut self, name: &str) {
        self.phases.push(Phase {
            name: name.to_owned(),
            at_ns: now_ns(),
        });
    }

    /// Sends the phases so far.
    pub(crate) fn flush(&mut self) {
        let phases = std::mem::take(&mut self.phases);
        self.send(&Record::Phases(phases));
    }

    /// Sends a record. A parent that has gone away does not hold the start up.
    pub(crate) fn send(&self, record: &Record) {
        if let Ok(mut line) = serde_json::to_vec(record) {
            line.push(b'\n');
            let _sent = rustix::io::write(&self.pipe, &line);
        }
    }

    /// Reports to another pipe from now on; the reader of the former one sees its end.
    pub(crate) fn switch(&mut self, pipe: OwnedFd) {
        self.pipe = pipe;
    }
}

/// Puts the lines of a status pipe together.
#[derive(Debug, Default)]
pub struct Reader {
    pending: Vec<u8>,
    phases: Vec<Phase>,
    stage: Option<Stage>,
    failed: Option<StartError>,
}

impl Reader {
    /// Takes bytes read from the pipe, in any pieces.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.pending) {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Record::Phases(phases)) => self.phases.extend(phases),
                Ok(Record::Waits(stage)) => self.stage = Some(stage),
                Ok(Record::Failed(error)) => self.failed = Some(error),
                // Written by our own code in one write, so this is a defect, not an input.
                Err(error) => tracing::error!(%error, "unreadable status record"),
            }
        }
    }

    /// The stage that it waits at, as far as was read.
    pub(crate) const fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The outcome, once the pipe has ended.
    ///
    /// # Errors
    /// Why the program was not executed.
    pub fn finish(self) -> Result<Vec<Phase>, StartError> {
        self.failed.map_or(Ok(self.phases), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::StartErrorKind;

    #[test]
    fn records_are_read_in_any_pieces() {
        let error = StartError {
            kind: StartErrorKind::Invalid,
            message: "no".to_owned(),
        };
        let mut lines = serde_json::to_vec(&Record::Waits(Stage::Ready)).unwrap();
        lines.push(b'\n');
        lines.extend(serde_json::to_vec(&Record::Failed(error.clone())).unwrap());
        lines.push(b'\n');
        let mut reader = Reader::default();
        for piece in lines.chunks(7) {
            reader.feed(piece);
        }
        assert_eq!(reader.stage(), Some(Stage::Ready));
        assert_eq!(reader.finish(), Err(error));
    }
}

//! The life of a further process in a container, from its birth to the program.

use std::convert::Infallible;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::ThreadNameSpaceType;

use super::ChildIo;
use super::program::{Labels, Program, take_streams};
use super::status::{Record, Reporter};
use crate::cgroup::Entry;
use crate::launch::{StartError, StartErrorKind};
use crate::procfs::Proc;
use crate::sys;
use crate::sys::fork::exit_now;
use crate::target::Target;

/// What the parent found out, and hands over by the copy of its memory.
#[derive(Debug)]
pub(super) struct Birth<'exec> {
    pub(super) process: &'exec Process,
    pub(super) program: Program<'exec>,
    pub(super) target: &'exec Target<'exec>,
    /// The container has a user namespace of its own.
    pub(super) joins_users: bool,
    pub(super) entry: &'exec Entry,
    pub(super) proc: &'exec Proc,
    pub(super) io: ChildIo,
}

/// Lives that life.
pub(super) fn live(birth: Birth<'_>, mut reporter: Reporter) -> Infallible {
    let Err(error) = birth.become_program(&mut reporter);
    let status = match error.kind {
        StartErrorKind::CommandNotFound => 127,
        StartErrorKind::CommandNotExecutable => 126,
        StartErrorKind::Invalid | StartErrorKind::Internal => 128,
    };
    reporter.flush();
    reporter.send(&Record::Failed(error));
    exit_now(status)
}

impl Birth<'_> {
    fn become_program(self, reporter: &mut Reporter) -> Result<Infallible, StartError> {
        reporter.ended("clone");
        sys::signals::reset();
        // It is in the container's process namespace already: nobody there may look into it.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|errno| StartError::internal(&std::io::Error::from(errno)))?;
        if let Some(adjustment) = self.process.oom_score_adj() {
            self.proc
                .write(Path::new("self/oom_score_adj"), &adjustment.to_string())
                .map_err(|error| StartError::invalid(&error))?;
        }
        let labels = Labels::open(self.proc, self.process)?;
        self.entry
            .join()
            .map_err(|error| StartError::internal(&error))?;
        reporter.ended("cgroup");
        let mut namespaces = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::CONTROL_GROUP
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::NETWORK;
        if self.joins_users {
            namespaces |= ThreadNameSpaceType::USER;
        }
        self.target
            .join(namespaces)
            .map_err(|error| error.start_error())?;
        reporter.ended("namespaces");
        self.entry
            .join_shares()
            .map_err(|error| StartError::internal(&error))?;
        reporter.ended("shares");
        take_streams(&self.io)?;
        let prepared = self.program.prepare(&labels, reporter)?;
        self.program.execute(&prepared, reporter)
    }
}

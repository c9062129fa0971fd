//! Going on as another program, in place.
//!
//! The keeper writes what it knows into a memory file, keeps its descriptors open, and executes
//! the new program in its own process: children stay children, and neither they nor clients nor
//! readers notice. Before that the new program rehearses in a process of its own: only one that
//! has understood the state gets it, because after `execve` there is no way back.
//!
//! The old program may be older or newer: fields may be added with a default, no meaning changed.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use super::attachment::Attachment;
use super::connection::Connection;
use super::frame::{Inbox, Outbox};
use super::log::{Lines, Log};
use super::process::{Caller, Group, Process, Stage, Starting};
use super::protocol::{Answer, Exited, ProcessKey, Refusal};
use super::server::{Leaving, Server};
use super::streams::{Output, Pump, Streams};
use crate::launch::{StartError, base64_bytes};
use crate::{sealed, sys};

/// What a program that has understood the state writes behind it.
const UNDERSTOOD: &[u8] = b"understood\n";
/// How long a rehearsal may take; everything waits for it.
const REHEARSAL: Duration = Duration::from_secs(5);
const REHEARSAL_PAUSE: Duration = Duration::from_millis(1);

/// Why a program could not take over.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The descriptor is not what was left.
    #[error("read the keeper's state from descriptor {number}")]
    Read {
        /// As given after `--resume`.
        number: RawFd,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// It is written in a way this program does not know.
    #[error("understand the keeper's state")]
    Understand(#[source] serde_json::Error),
    /// A descriptor without which there is no keeper is missing.
    #[error("take the keeper's own descriptors over")]
    TakeOver(#[source] io::Error),
}

/// Everything a keeper knows. Descriptors are numbers.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Only to be understood, not to be taken over.
    is_rehearsal: bool,
    dir: PathBuf,
    lock: RawFd,
    listener: RawFd,
    next_number: u32,
    leave_when_idle: bool,
    caller: Caller,
    clients: Vec<ClientState>,
    processes: Vec<ProcessState>,
    /// Cgroups to be removed.
    removals: Vec<Box<str>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClientState {
    number: u32,
    socket: RawFd,
    #[serde(with = "base64_bytes")]
    inbox: Vec<u8>,
    #[serde(with = "base64_bytes")]
    outbox: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProcessState {
    number: u32,
    key: ProcessKey,
    stage: StageState,
    pid: u32,
    pidfd: Option<RawFd>,
    started_at: Timestamp,
    note: Box<str>,
    cgroup: Option<GroupState>,
    log: Option<Box<Log>>,
    streams: StreamsState,
}

#[derive(Debug, Serialize, Deserialize)]
struct GroupState {
    path: Box<str>,
    is_watched: bool,
    oom_kills: u64,
}

/// [`Stage`], as it travels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StageState {
    Prepared {
        client: u32,
    },
    Starting {
        caller: Caller,
        status: RawFd,
        #[serde(with = "base64_bytes")]
        report: Vec<u8>,
    },
    Failed {
        caller: Caller,
        error: StartError,
    },
    Running,
    Draining(Exited),
    Ended(Exited),
    Forgotten,
}

/// [`Streams`], as they travel.
#[derive(Debug, Serialize, Deserialize)]
struct StreamsState {
    outputs: Vec<Option<OutputState>>,
    is_terminal: bool,
    has_stdin: bool,
    is_over: bool,
    stdin: Option<RawFd>,
    stdin_reader: Option<RawFd>,
    pump: Option<PumpState>,
    attachments: Vec<AttachmentState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OutputState {
    source: RawFd,
    lines: Lines,
    is_open: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PumpState {
    source: RawFd,
    #[serde(with = "base64_bytes")]
    pending: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AttachmentState {
    number: u32,
    pipe: RawFd,
    #[serde(with = "base64_bytes")]
    waiting: Vec<u8>,
}

impl Server {
    /// Executes another program in place. Comes back only if that fails.
    pub(super) fn hand_over(&mut self, caller: Caller, exe: &Path) {
        let refusal = match self.leaving {
            Some(Leaving::Now(_) | Leaving::Farewell(_)) => Refusal::ShuttingDown,
            _ => {
                let Err(error) = self.try_hand_over(caller, exe);
                Refusal::Failed {
                    attempt: format!("go on as {}", exe.display()),
                    cause: error.to_string(),
                }
            }
        };
        self.answer(caller, Answer::Refused(refusal));
    }

    fn try_hand_over(&mut self, caller: Caller, exe: &Path) -> io::Result<Infallible> {
        rehearse(
            exe,
            &self.state(caller, true, &mut |descriptor| descriptor.as_raw_fd()),
        )?;
        let state = self.state(caller, false, &mut |descriptor| {
            mark(descriptor, FdFlags::empty())
        });
        let error = memory_file(&state).and_then(|file| execute(exe, &self.dir, file.as_fd()));
        self.state(caller, false, &mut |descriptor| {
            mark(descriptor, FdFlags::CLOEXEC)
        });
        error
    }

    fn state(
        &self,
        caller: Caller,
        is_rehearsal: bool,
        keep: &mut dyn FnMut(BorrowedFd<'_>) -> RawFd,
    ) -> State {
        State {
            is_rehearsal,
            dir: self.dir.clone(),
            lock: keep(self.lock.as_fd()),
            listener: keep(self.listener.as_fd()),
            next_number: self.next_number,
            leave_when_idle: self.leaving.is_some(),
            caller,
            clients: self
                .clients
                .iter()
                .filter_map(|(&number, client)| client_state(number, client, keep))
                .collect(),
            processes: self
                .processes
                .iter()
                .map(|(&number, process)| process_state(number, process, keep))
                .collect(),
            removals: self.removals.iter().map(|(path, _)| path.clone()).collect(),
        }
    }
}

fn client_state(
    number: u32,
    client: &Connection,
    keep: &mut dyn FnMut(BorrowedFd<'_>) -> RawFd,
) -> Option<ClientState> {
    // A client that has descriptors under way is closed, and connects again.
    let (inbox, outbox) = (client.inbox.pending()?.to_vec(), client.outbox.pending()?);
    Some(ClientState {
        number,
        socket: keep(client.as_fd()),
        inbox,
        outbox,
    })
}

fn process_state(
    number: u32,
    process: &Process,
    keep: &mut dyn FnMut(BorrowedFd<'_>) -> RawFd,
) -> ProcessState {
    ProcessState {
        number,
        key: process.key.clone(),
        stage: match &process.stage {
            Stage::Prepared { client } => StageState::Prepared { client: *client },
            Stage::Starting(starting) => StageState::Starting {
                caller: starting.caller,
                status: keep(starting.status.as_fd()),
                report: starting.report.clone(),
            },
            Stage::Failed(caller, error) => StageState::Failed {
                caller: *caller,
                error: (**error).clone(),
            },
            Stage::Running => StageState::Running,
            Stage::Draining(exited) => StageState::Draining(*exited),
            Stage::Ended(exited) => StageState::Ended(*exited),
            Stage::Forgotten => StageState::Forgotten,
        },
        pid: process.pid,
        pidfd: process.pidfd.as_ref().map(|pidfd| keep(pidfd.as_fd())),
        started_at: process.started_at,
        note: process.note.clone(),
        cgroup: process.cgroup.as_ref().map(|cgroup| GroupState {
            path: cgroup.path.clone(),
            is_watched: cgroup.watch.is_some(),
            oom_kills: cgroup.oom_kills,
        }),
        log: process.log.clone(),
        streams: streams_state(&process.streams, keep),
    }
}

fn streams_state(streams: &Streams, keep: &mut dyn FnMut(BorrowedFd<'_>) -> RawFd) -> StreamsState {
    let outputs = streams.outputs.iter().map(|output| {
        output.as_ref().map(|output| OutputState {
            source: keep(output.source.as_fd()),
            lines: output.lines.clone(),
            is_open: output.is_open,
        })
    });
    StreamsState {
        outputs: outputs.collect(),
        is_terminal: streams.is_terminal,
        has_stdin: streams.has_stdin,
        is_over: streams.is_over,
        stdin: streams.stdin.as_ref().map(|stdin| keep(stdin.as_fd())),
        stdin_reader: streams
            .stdin_reader
            .as_ref()
            .map(|reader| keep(reader.as_fd())),
        pump: streams.pump.as_ref().map(|pump| PumpState {
            source: keep(pump.source.as_fd()),
            pending: pump.pending.clone(),
        }),
        attachments: streams
            .attachments
            .iter()
            .map(|attachment| AttachmentState {
                number: attachment.number,
                pipe: keep(attachment.as_fd()),
                waiting: attachment.waiting_bytes(),
            })
            .collect(),
    }
}

/// Whether a descriptor closes at the next `execve`.
fn mark(descriptor: BorrowedFd<'_>, flags: FdFlags) -> RawFd {
    // Cannot fail on an open descriptor.
    _ = fcntl_setfd(descriptor, flags);
    descriptor.as_raw_fd()
}

/// A file without a name that a program executed by this one can read.
fn memory_file(state: &State) -> io::Result<File> {
    let mut file = File::from(memfd_create("keeper", MemfdFlags::empty())?);
    serde_json::to_writer(io::BufWriter::new(&file), state)?;
    file.rewind()?;
    Ok(file)
}

/// Lets the program show, in a process of its own, that it understands the state.
fn rehearse(exe: &Path, state: &State) -> io::Result<()> {
    let mut file = memory_file(state)?;
    let mut command = Command::new(exe);
    command
        .arg("keeper")
        .arg("--dir")
        .arg(&state.dir)
        .arg("--resume")
        .arg(file.as_raw_fd().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let deadline = Instant::now() + REHEARSAL;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it does not answer a rehearsal",
            ));
        }
        std::thread::sleep(REHEARSAL_PAUSE);
    };
    let tail = i64::try_from(UNDERSTOOD.len()).unwrap_or(0);
    let mut said = Vec::new();
    file.seek(SeekFrom::End(-tail))?;
    file.read_to_end(&mut said)?;
    if status.success() && said == UNDERSTOOD {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "it does not understand this keeper's state; its log may say why",
    ))
}

fn execute(exe: &Path, dir: &Path, state: BorrowedFd<'_>) -> io::Result<Infallible> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(io::Error::from);
    let path = text(exe.as_os_str().as_bytes().to_vec())?;
    let dir = text(dir.as_os_str().as_bytes().to_vec())?;
    let number = text(state.as_raw_fd().to_string().into_bytes())?;
    let args = [
        path.clone(),
        c"keeper".to_owned(),
        c"--dir".to_owned(),
        dir,
        c"--resume".to_owned(),
        number,
    ];
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        env.push(text(pair)?);
    }
    Ok(sys::exec::execve(&path, &args, &env)?)
}

/// Takes over what the program before this one left; `None` if this is only a rehearsal.
pub(super) fn take_over(number: RawFd) -> Result<Option<Server>, ResumeError> {
    let read = |source| ResumeError::Read { number, source };
    let mut file = File::from(sys::handover::adopt(number).map_err(|error| read(error.into()))?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(read)?;
    let state: State = serde_json::from_slice(&bytes).map_err(ResumeError::Understand)?;
    if state.is_rehearsal {
        file.write_all(UNDERSTOOD).map_err(read)?;
        return Ok(None);
    }
    drop(file);
    restore(state).map(Some).map_err(ResumeError::TakeOver)
}

fn restore(state: State) -> io::Result<Server> {
    // Everything is adopted before anything is opened, so that no number is taken twice.
    let lock = File::from(sys::handover::adopt(state.lock)?);
    let listener = UnixListener::from(sys::handover::adopt(state.listener)?);
    let clients: Vec<(ClientState, OwnedFd)> = state
        .clients
        .into_iter()
        .filter_map(|client| adopt(client.socket).map(|socket| (client, socket)))
        .collect();
    let processes: Vec<Process> = state
        .processes
        .into_iter()
        .map(ProcessState::adopt)
        .collect();

    let mut server = Server::new(state.dir, lock, listener)?;
    server.next_number = state.next_number;
    server.leaving = state.leave_when_idle.then_some(Leaving::WhenIdle);
    for (
        ClientState {
            number,
            inbox,
            outbox,
            ..
        },
        socket,
    ) in clients
    {
        let (inbox, outbox) = (Inbox::with_bytes(inbox), Outbox::with_bytes(outbox));
        server.add_client(number, socket, inbox, outbox)?;
    }
    for process in processes {
        server.add_process(process)?;
    }
    for cgroup in state.removals {
        server.remove_cgroup(cgroup);
    }
    server.greet_everyone();
    server.answer(state.caller, Answer::Done);
    Ok(server)
}

/// A descriptor that was left open. One that is not there costs what it was for, not everything.
fn adopt(number: RawFd) -> Option<OwnedFd> {
    sys::handover::adopt(number)
        .inspect_err(
            |error| tracing::error!(%error, number, "a descriptor is missing after an upgrade"),
        )
        .ok()
}

impl ProcessState {
    fn adopt(self) -> Process {
        let stage = match self.stage {
            StageState::Prepared { client } => Stage::Prepared { client },
            StageState::Starting {
                caller,
                status,
                report,
            } => match adopt(status) {
                Some(status) => Stage::Starting(Box::new(Starting {
                    caller,
                    status,
                    report,
                })),
                None => Stage::Running,
            },
            StageState::Failed { caller, error } => Stage::Failed(caller, Box::new(error)),
            StageState::Running => Stage::Running,
            StageState::Draining(exited) => Stage::Draining(exited),
            StageState::Ended(exited) => Stage::Ended(exited),
            StageState::Forgotten => Stage::Forgotten,
        };
        Process {
            key: self.key,
            stage,
            pid: self.pid,
            pidfd: self.pidfd.and_then(adopt),
            started_at: self.started_at,
            note: self.note,
            cgroup: self
                .cgroup
                .map(|state| Group::new(state.path, state.is_watched, state.oom_kills)),
            log: self.log,
            streams: self.streams.adopt(self.number),
        }
    }
}

impl StreamsState {
    fn adopt(self, process: u32) -> Streams {
        let mut streams = Streams::new(process);
        for (place, output) in streams.outputs.iter_mut().zip(self.outputs) {
            *place = output.and_then(|output| {
                Some(Output::new(
                    adopt(output.source)?,
                    output.lines,
                    output.is_open,
                ))
            });
        }
        streams.is_terminal = self.is_terminal;
        streams.has_stdin = self.has_stdin;
        streams.is_over = self.is_over;
        streams.stdin = self.stdin.and_then(adopt);
        streams.stdin_reader = self.stdin_reader.and_then(adopt);
        streams.pump = self
            .pump
            .and_then(|pump| Some(Pump::new(adopt(pump.source)?, pump.pending)));
        streams.attachments = self
            .attachments
            .into_iter()
            .filter_map(|attachment| {
                Some(Attachment::restore(
                    attachment.number,
                    adopt(attachment.pipe)?,
                    attachment.waiting,
                ))
            })
            .collect();
        streams
    }
}

/// Tells one build of this program from another, as [`super::Hello::build`] does.
#[must_use]
pub fn build() -> String {
    sealed::identity()
}

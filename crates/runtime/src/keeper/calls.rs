//! What clients ask of the keeper, carried out.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use rustix::termios::{Winsize, tcsetwinsize};

use super::frame::Frame;
use super::log::Log;
use super::process::{Caller, Group, Process, Stage, Starting};
use super::protocol::{Answer, Call, ProcessKey, Refusal, Request, Unreadable};
use super::server::Server;
use crate::console::Slave;
use crate::launch::{Exec, Launch, StartError, StartErrorKind, Stdio};
use crate::start::{self, ChildIo};
use crate::sys;

/// Highest signal number of Linux.
const MAX_SIGNAL: i32 = 64;

impl Server {
    /// Reads a call and carries it out.
    pub(super) fn on_frame(&mut self, client: u32, frame: Frame) {
        match serde_json::from_slice(&frame.body) {
            Ok(Request { id, call }) => {
                self.on_call(Caller { client, call: id }, call, frame.descriptors);
            }
            Err(error) => self.on_unreadable(client, &frame.body, &error),
        }
    }

    /// A newer client may ask what this keeper does not know; it is told so.
    fn on_unreadable(&mut self, client: u32, body: &[u8], error: &serde_json::Error) {
        match serde_json::from_slice(body) {
            Ok(Unreadable { id }) => {
                let refusal = Refusal::BadRequest(error.to_string());
                self.answer(Caller { client, call: id }, Answer::Refused(refusal));
            }
            Err(_) => tracing::warn!(%error, "a client said something unreadable"),
        }
    }

    fn on_call(&mut self, caller: Caller, call: Call, descriptors: Vec<OwnedFd>) {
        let outcome = match call {
            Call::Start(launch) => {
                return self.start(caller, &launch, descriptors.into_iter().next());
            }
            Call::Exec(exec) => return self.exec(caller, &exec),
            Call::Attach { key, stdin, output } => return self.attach(caller, key, stdin, output),
            Call::Upgrade { exe } => return self.upgrade = Some((caller, exe)),
            Call::Shutdown => return self.shut_down(caller),
            Call::List => Ok(Answer::Processes(
                self.processes.values().filter_map(Process::state).collect(),
            )),
            Call::CloseStdin { key } => self.close_stdin(key),
            Call::Resize { key, rows, columns } => self.resize(key, rows, columns),
            Call::Signal { key, signal } => self.signal(key, signal),
            Call::Forget { key } => self.forget(key),
        };
        self.answer(caller, outcome.unwrap_or_else(Answer::Refused));
    }

    fn find(&mut self, key: ProcessKey) -> Result<&mut Process, Refusal> {
        let number = self.keys.get(&key);
        match number.and_then(|number| self.processes.get_mut(number)) {
            Some(process) => Ok(process),
            None => Err(Refusal::NoSuchProcess(key)),
        }
    }

    // Starts.

    fn start(&mut self, caller: Caller, launch: &Launch, netns: Option<OwnedFd>) {
        let key = ProcessKey::container(&launch.id);
        let begun = self.begin(
            caller,
            key,
            launch.stdio,
            &launch.note,
            |server, process| {
                process.log = Log::open(&launch.log)
                    .map_err(|error| {
                        internal(format!("open the log {}: {error}", log_path(launch)))
                    })?
                    .map(Box::new);
                let io =
                    process.child_io(launch.stdio, || crate::console::for_container(launch))?;
                let cgroup: Box<str> = cgroups_path(&launch.spec).unwrap_or(&launch.id).into();
                let spawned = start::container(launch, io, netns);
                if spawned.is_err() {
                    server.remove_cgroup(cgroup);
                } else {
                    process.cgroup = Some(Group::new(cgroup, has_memory_limit(&launch.spec), 0));
                }
                spawned
            },
        );
        match begun {
            Ok(()) => self.watch_idle_logs(),
            Err(error) => self.answer(caller, Answer::NotStarted(error)),
        }
    }

    fn exec(&mut self, caller: Caller, exec: &Exec) {
        let key = ProcessKey::exec(&exec.container, &exec.id);
        let begun = self.begin(caller, key, exec.stdio, &exec.note, |server, process| {
            let not_running = || StartError {
                kind: StartErrorKind::Invalid,
                message: format!("container {} is not running", exec.container),
            };
            let container = server.keys.get(&ProcessKey::container(&exec.container));
            let container = container
                .and_then(|number| server.processes.get(number))
                .ok_or_else(not_running)?;
            let (Stage::Running, Some(target), Some(cgroup)) =
                (&container.stage, &container.pidfd, &container.cgroup)
            else {
                return Err(not_running());
            };
            let io = process.child_io(exec.stdio, || {
                crate::console::for_exec(exec, target.as_fd())
            })?;
            start::exec(exec, target.as_fd(), &cgroup.path, io)
        });
        if let Err(error) = begun {
            self.answer(caller, Answer::NotStarted(error));
        }
    }

    /// What every start has in common. Nothing is left when it fails, and attachments end.
    fn begin(
        &mut self,
        caller: Caller,
        key: ProcessKey,
        stdio: Stdio,
        note: &serde_json::Value,
        spawn: impl FnOnce(&mut Self, &mut Process) -> Result<start::Spawned, StartError>,
    ) -> Result<(), StartError> {
        if self.leaving.is_some() {
            return Err(internal(Refusal::ShuttingDown.to_string()));
        }
        let prepared = match self.keys.get(&key) {
            Some(number) => self
                .processes
                .remove(number)
                .map(|process| (*number, process)),
            None => None,
        };
        let (number, mut process) = match prepared {
            Some((number, process)) if matches!(process.stage, Stage::Prepared { .. }) => {
                (number, process)
            }
            Some((number, process)) => {
                self.processes.insert(number, process);
                let message = format!("{key} was started before, and is not forgotten");
                return Err(StartError {
                    kind: StartErrorKind::Invalid,
                    message,
                });
            }
            None => {
                let number = self.number();
                (
                    number,
                    Process::prepared(key.clone(), number, caller.client),
                )
            }
        };
        self.keys.remove(&key);
        process.streams.has_stdin = stdio.stdin;
        process.note = note.to_string().into();
        let spawned = spawn(self, &mut process)?;
        if let Err(error) = self.watch(&mut process, number, caller, spawned) {
            // It cannot be watched, so it must not live.
            process.kill();
            if let Some(pidfd) = &process.pidfd {
                _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            }
            if let Some(cgroup) = process.cgroup.take() {
                self.remove_cgroup(cgroup.path);
            }
            return Err(internal(format!("watch the process: {error}")));
        }
        self.keys.insert(key, number);
        self.processes.insert(number, process);
        Ok(())
    }

    fn watch(
        &mut self,
        process: &mut Process,
        number: u32,
        caller: Caller,
        spawned: start::Spawned,
    ) -> io::Result<()> {
        let start::Spawned { pid, pidfd, status } = spawned;
        process.pid = pid;
        process.pidfd = Some(pidfd);
        rustix::io::ioctl_fionbio(&status, true)?;
        process.stage = Stage::Starting(Box::new(Starting {
            caller,
            status,
            report: Vec::new(),
        }));
        process.streams.is_over = process.streams.outputs.iter().all(Option::is_none);
        self.wait_for(number, process)
    }

    // Streams.

    fn attach(&mut self, caller: Caller, key: ProcessKey, stdin: bool, output: bool) {
        match self.try_attach(caller, key, stdin, output) {
            Ok((output, stdin)) => {
                let answer = Answer::Attached {
                    output: output.is_some(),
                    stdin: stdin.is_some(),
                };
                self.answer_with(caller, answer, output.into_iter().chain(stdin).collect());
            }
            Err(refusal) => self.answer(caller, Answer::Refused(refusal)),
        }
    }

    fn try_attach(
        &mut self,
        caller: Caller,
        key: ProcessKey,
        stdin: bool,
        output: bool,
    ) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Refusal> {
        if self.leaving.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        if !self.keys.contains_key(&key) {
            let number = self.number();
            self.processes.insert(
                number,
                Process::prepared(key.clone(), number, caller.client),
            );
            self.keys.insert(key.clone(), number);
        }
        let number = self.keys.get(&key).copied();
        let Some(process) = number.and_then(|number| self.processes.get_mut(&number)) else {
            return Err(Refusal::NoSuchProcess(key));
        };
        let failed = |error: io::Error| Refusal::Failed {
            attempt: format!("attach to {key}"),
            cause: error.to_string(),
        };
        let is_started = !matches!(process.stage, Stage::Prepared { .. });
        let stdin = if stdin {
            let input = process.streams.input(is_started).map_err(failed)?;
            Some(input.ok_or_else(|| Refusal::NoStream {
                key: key.clone(),
                stream: "standard input".to_owned(),
            })?)
        } else {
            None
        };
        let output = if output {
            Some(process.streams.attach(&self.bench).map_err(failed)?)
        } else {
            None
        };
        Ok((output, stdin))
    }

    fn close_stdin(&mut self, key: ProcessKey) -> Result<Answer, Refusal> {
        let process = self.find(key)?;
        process.streams.stdin = None;
        Ok(Answer::Done)
    }

    fn resize(&mut self, key: ProcessKey, rows: u16, columns: u16) -> Result<Answer, Refusal> {
        let process = self.find(key.clone())?;
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        match &process.streams.outputs[0] {
            Some(master) if process.streams.is_terminal => match tcsetwinsize(&master.source, size)
            {
                Ok(()) => Ok(Answer::Done),
                Err(error) => Err(failed(format!("resize the terminal of {key}"), error)),
            },
            _ if !process.is_alive() => Err(Refusal::NotRunning(key)),
            _ => Err(Refusal::NoStream {
                key,
                stream: "terminal".to_owned(),
            }),
        }
    }

    // The rest of a life.

    fn signal(&mut self, key: ProcessKey, signal: i32) -> Result<Answer, Refusal> {
        if !(0..=MAX_SIGNAL).contains(&signal) {
            return Err(Refusal::BadRequest(format!("{signal} is no signal")));
        }
        let process = self.find(key.clone())?;
        let (Stage::Running, Some(pidfd)) = (&process.stage, &process.pidfd) else {
            return Err(Refusal::NotRunning(key));
        };
        match sys::pidfd::send_signal(pidfd.as_fd(), signal) {
            Ok(()) => Ok(Answer::Done),
            Err(Errno::SRCH) => Err(Refusal::NotRunning(key)),
            Err(error) => Err(failed(format!("send signal {signal} to {key}"), error)),
        }
    }

    fn forget(&mut self, key: ProcessKey) -> Result<Answer, Refusal> {
        let Some(&number) = self.keys.get(&key) else {
            return Ok(Answer::Done);
        };
        let Ok(process) = self.find(key.clone()) else {
            return Ok(Answer::Done);
        };
        if process.is_alive() {
            return Err(Refusal::Running(key));
        }
        let is_prepared = matches!(process.stage, Stage::Prepared { .. });
        let has_more = !process.streams.attachments.is_empty() || !process.streams.is_over;
        if has_more && !is_prepared {
            // What waits for a slow reader is still logged and delivered.
            process.stage = Stage::Forgotten;
            self.keys.remove(&key);
        } else {
            self.drop_process(number);
        }
        Ok(Answer::Done)
    }
}

impl Process {
    /// Kills it, if it lives.
    pub(super) fn kill(&self) {
        if let Some(pidfd) = &self.pidfd {
            // It may just have ended.
            _ = sys::pidfd::send_signal(pidfd.as_fd(), Signal::KILL.as_raw());
        }
    }

    /// Makes the standard streams, and answers the process's ends of them.
    fn child_io(
        &mut self,
        stdio: Stdio,
        open_terminal: impl FnOnce() -> Result<(OwnedFd, Slave), StartError>,
    ) -> Result<ChildIo, StartError> {
        if stdio.terminal.is_some() {
            let (master, slave) = open_terminal()?;
            self.streams
                .use_terminal(master)
                .map_err(|error| internal(format!("use the terminal: {error}")))?;
            return Ok(ChildIo::Terminal(slave));
        }
        self.child_pipes(stdio)
            .map_err(|error| internal(format!("make pipes for the standard streams: {error}")))
    }

    fn child_pipes(&mut self, stdio: Stdio) -> io::Result<ChildIo> {
        let streams = &mut self.streams;
        if stdio.stdin && streams.stdin_reader.is_none() {
            streams.make_stdin()?;
        }
        if !stdio.stdin {
            // Whoever holds the other end learns that nobody reads.
            (streams.stdin, streams.stdin_reader) = (None, None);
        }
        let stdin = match streams.stdin_reader.take() {
            Some(reader) => reader,
            None => File::open("/dev/null")?.into(),
        };
        let is_unheard = stdio.discard_output && streams.attachments.is_empty();
        let mut output = |index| {
            if is_unheard {
                Ok(File::options().write(true).open("/dev/null")?.into())
            } else {
                streams.make_output(index)
            }
        };
        Ok(ChildIo::Streams {
            stdin,
            stdout: output(0)?,
            stderr: output(1)?,
        })
    }
}

/// The control group of a container as its specification names it.
fn cgroups_path(spec: &Spec) -> Option<&str> {
    spec.linux()
        .as_ref()?
        .cgroups_path()
        .as_deref()
        .and_then(Path::to_str)
}

fn has_memory_limit(spec: &Spec) -> bool {
    let resources = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    resources
        .and_then(|resources| resources.memory().as_ref())
        .is_some_and(|memory| memory.limit().is_some())
}

fn log_path(launch: &Launch) -> String {
    match &launch.log {
        crate::launch::LogTarget::JsonFile(file) => file.path.display().to_string(),
        crate::launch::LogTarget::None => String::new(),
    }
}

fn internal(message: String) -> StartError {
    StartError {
        kind: StartErrorKind::Internal,
        message,
    }
}

fn failed(attempt: String, error: Errno) -> Refusal {
    Refusal::Failed {
        attempt,
        cause: io::Error::from(error).to_string(),
    }
}

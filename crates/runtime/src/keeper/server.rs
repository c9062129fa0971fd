//! The keeper's loop: waits, does what clients ask, reaps, and moves output.
//!
//! Calls, starts and exits go before output: of that at most one chunk is moved before they are
//! looked at again, so a chatty container delays nobody. Everything is done by this one thread,
//! and nothing here blocks. What clients ask is carried out in [`super::calls`].

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::time::Timespec;

use super::connection::Connection;
use super::frame::{FrameError, Inbox, Outbox};
use super::poll::{Poll, Token};
use super::process::{Caller, Process, Stage};
use super::protocol::{Answer, Exited, Hello, KeeperEvent, Notice, ProcessKey, Spawned, VERSION};
use super::streams::Workbench;
use super::upgrade::build;
use crate::cgroup::Cgroup;
use crate::start::status;
use crate::sys;

/// Bytes of output moved before calls are looked at again.
const TURN_BYTES: usize = 64 << 10;
/// Most streams looked at before calls are.
const TURN_STREAMS: usize = 16;
/// Most calls and exits taken at once.
const TURN_CONTROLS: usize = 64;
/// How long output is waited for after its process has ended, when somebody else holds the pipe.
const DRAIN: Duration = Duration::from_secs(2);
/// A log that was not written for so long is closed until it is.
const LOG_IDLE: Duration = Duration::from_secs(10);
/// Pause before a cgroup that is still busy is tried again.
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);
/// Tries before it is left alone. The kernel needs milliseconds.
const REMOVAL_TRIES: u32 = 500;
/// Pause when there are no descriptors left for another client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The state of the keeper.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) dir: PathBuf,
    /// Held as long as the keeper lives.
    pub(super) lock: File,
    pub(super) listener: UnixListener,
    /// `SIGTERM` and `SIGINT`.
    terminations: OwnedFd,
    /// Waits for everything but output.
    pub(super) control: Poll,
    pub(super) bench: Workbench,
    pub(super) clients: HashMap<u32, Connection>,
    pub(super) processes: HashMap<u32, Process>,
    pub(super) keys: HashMap<ProcessKey, u32>,
    /// The next number of a client or process.
    pub(super) next_number: u32,
    timers: BTreeSet<(Instant, Timer)>,
    /// Cgroups that are still busy, with the tries so far.
    pub(super) removals: Vec<(Box<str>, u32)>,
    pub(super) leaving: Option<Leaving>,
    /// An upgrade that was asked for, done between two turns.
    pub(super) upgrade: Option<(Caller, PathBuf)>,
}

/// Why the keeper is to end.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Once nothing runs.
    WhenIdle,
    /// Everything is killed; these want to know when that is done.
    Now(Vec<Caller>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A process's output was waited for long enough.
    Drained(u32),
    /// Logs may be idle.
    IdleLogs,
    /// Cgroups may be gone.
    Removals,
    /// There may be descriptors again.
    Accept,
}

impl Server {
    pub(super) fn new(dir: PathBuf, lock: File, listener: UnixListener) -> io::Result<Self> {
        let control = Poll::new()?;
        listener.set_nonblocking(true)?;
        control.add(&listener, Token::Listener, EventFlags::IN)?;
        let terminations = sys::terminations::descriptor()?;
        control.add(&terminations, Token::Terminations, EventFlags::IN)?;
        Ok(Self {
            dir,
            lock,
            listener,
            terminations,
            control,
            bench: Workbench::new()?,
            clients: HashMap::new(),
            processes: HashMap::new(),
            keys: HashMap::new(),
            next_number: 1,
            timers: BTreeSet::new(),
            removals: Vec::new(),
            leaving: None,
            upgrade: None,
        })
    }

    /// Works until the keeper is to end.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.is_done() {
            if let Some((caller, exe)) = self.upgrade.take() {
                self.hand_over(caller, &exe);
            }
            self.wait()?;
            for (token, flags) in self.control.ready(TURN_CONTROLS)? {
                self.on_control(token, flags);
            }
            let mut moved = 0;
            for _ in 0..TURN_STREAMS {
                // One at a time: the kernel hands out in turn only what it has not handed out.
                let Some((token, flags)) = self.bench.poll.ready(1)?.pop() else {
                    break;
                };
                moved += self.on_stream(token, flags);
                if moved >= TURN_BYTES {
                    break;
                }
            }
            self.on_timers();
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let timeout = self
            .timers
            .first()
            .map(|(deadline, _)| deadline.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut both = [
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.bench.poll, PollFlags::IN),
        ];
        match poll(&mut both, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn on_control(&mut self, token: Token, flags: EventFlags) {
        match token {
            Token::Listener => self.accept(),
            Token::Terminations => self.terminate(),
            Token::Client(number) => self.on_client(number, flags),
            Token::Exit(number) => self.on_exit(number),
            Token::Status(number) => self.on_status(number),
            Token::Oom(number) => self.on_oom(number),
            Token::Output(..) | Token::Pump(_) | Token::Attachment(..) => {}
        }
    }

    // Clients.

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    if let Err(error) = self.welcome(socket.into()) {
                        tracing::warn!(%error, "cannot take a client in");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    self.control.remove(&self.listener);
                    self.set_timer(ACCEPT_PAUSE, Timer::Accept);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, socket: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let number = self.number();
        self.add_client(number, socket, Inbox::default(), Outbox::default())?;
        self.tell(number, &Notice::Hello(hello()), Vec::new());
        Ok(())
    }

    /// Takes a client in, under a number that is free.
    pub(super) fn add_client(
        &mut self,
        number: u32,
        socket: OwnedFd,
        inbox: Inbox,
        outbox: Outbox,
    ) -> io::Result<()> {
        let connection = Connection::new(number, socket, inbox, outbox, &self.control)?;
        self.clients.insert(number, connection);
        Ok(())
    }

    /// After an upgrade: says who speaks now.
    pub(super) fn greet_everyone(&mut self) {
        self.tell_everyone(&Notice::Hello(hello()));
    }

    fn on_client(&mut self, number: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(number);
        }
        let Some(connection) = self.clients.get_mut(&number) else {
            return;
        };
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let received = connection.receive();
        loop {
            // A call may end the connection.
            let Some(connection) = self.clients.get_mut(&number) else {
                return;
            };
            match connection.inbox.take() {
                Ok(Some(frame)) => self.on_frame(number, frame),
                Ok(None) => break,
                Err(error) => return self.drop_client(number, &error),
            }
        }
        if let Err(error) = received {
            self.drop_client(number, &error);
        }
    }

    fn drop_client(&mut self, number: u32, why: &FrameError) {
        if !matches!(why, FrameError::Closed) {
            tracing::warn!(error = why as &dyn std::error::Error, "gave a client up");
        }
        self.clients.remove(&number);
        let is_kept = |process: &Process| !matches!(process.stage, Stage::Prepared { client } if client == number);
        let orphans: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| !is_kept(process))
            .map(|(&number, _)| number)
            .collect();
        for orphan in orphans {
            self.drop_process(orphan);
        }
    }

    /// Answers a call.
    pub(super) fn answer(&mut self, caller: Caller, answer: Answer) {
        self.answer_with(caller, answer, Vec::new());
    }

    /// Answers a call with descriptors.
    pub(super) fn answer_with(
        &mut self,
        caller: Caller,
        answer: Answer,
        descriptors: Vec<OwnedFd>,
    ) {
        self.tell(
            caller.client,
            &Notice::Answer {
                id: caller.call,
                answer,
            },
            descriptors,
        );
    }

    fn tell(&mut self, client: u32, notice: &Notice, descriptors: Vec<OwnedFd>) {
        // It may have gone.
        if let Some(connection) = self.clients.get_mut(&client) {
            connection.push(notice, descriptors);
            self.flush(client);
        }
    }

    fn tell_everyone(&mut self, notice: &Notice) {
        let everyone: Vec<u32> = self.clients.keys().copied().collect();
        for client in everyone {
            self.tell(client, notice, Vec::new());
        }
    }

    fn flush(&mut self, client: u32) {
        if let Some(connection) = self.clients.get_mut(&client)
            && let Err(error) = connection.flush(&self.control)
        {
            self.drop_client(client, &FrameError::Write(error));
        }
    }

    // Processes.

    /// A number that nothing has.
    pub(super) fn number(&mut self) -> u32 {
        loop {
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            if !self.processes.contains_key(&number) && !self.clients.contains_key(&number) {
                return number;
            }
        }
    }

    /// Takes a process in that another program image had.
    pub(super) fn add_process(&mut self, mut process: Process) -> io::Result<()> {
        let number = process.streams.process;
        process.streams.wait_for_all(&self.bench)?;
        self.wait_for(number, &mut process)?;
        if !matches!(process.stage, Stage::Forgotten) {
            self.keys.insert(process.key.clone(), number);
        }
        if matches!(process.stage, Stage::Draining(_)) {
            self.set_timer(DRAIN, Timer::Drained(number));
        }
        self.processes.insert(number, process);
        Ok(())
    }

    /// Begins to wait for a process's start, output and end.
    pub(super) fn wait_for(&self, number: u32, process: &mut Process) -> io::Result<()> {
        if let Some(pidfd) = &process.pidfd {
            self.control
                .add(pidfd, Token::Exit(number), EventFlags::IN)?;
        }
        if let Some(watch) = process
            .cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.watch.as_ref())
        {
            self.control
                .add(watch, Token::Oom(number), EventFlags::IN)?;
        }
        if let Stage::Starting(starting) = &process.stage {
            self.control
                .add(&starting.status, Token::Status(number), EventFlags::IN)?;
        }
        process.streams.arm(&self.bench)
    }

    /// A starting process reports, or has become the program, or failed to.
    fn on_status(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Stage::Starting(starting) = &mut process.stage else {
            return;
        };
        let mut bytes = [0; 4096];
        loop {
            match rustix::io::read(&starting.status, &mut bytes) {
                Ok(0) => break,
                Ok(count) => starting.report.extend_from_slice(&bytes[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::error!(%error, process = %process.key, "cannot read how a start goes");
                    break;
                }
            }
        }
        self.started(number);
    }

    /// A start has succeeded or failed.
    fn started(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Stage::Starting(starting) = std::mem::replace(&mut process.stage, Stage::Running)
        else {
            return;
        };
        let caller = starting.caller;
        let mut reader = status::Reader::default();
        reader.feed(&starting.report);
        match reader.finish() {
            Ok(phases) => {
                process.started_at = Timestamp::now();
                let spawned = Spawned {
                    pid: process.pid,
                    started_at: process.started_at,
                    phases,
                };
                self.answer(caller, Answer::Spawned(spawned));
            }
            Err(error) => {
                // It is about to exit by itself; then it is answered, and nothing is left.
                process.stage = Stage::Failed(caller, Box::new(error));
                process.kill();
            }
        }
    }

    /// A container's memory ran out, or its cgroup is being removed.
    fn on_oom(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Some(cgroup) = &mut process.cgroup else {
            return;
        };
        if let Some(watch) = &cgroup.watch {
            // What it says does not matter, only that it is read.
            _ = rustix::io::read(watch, &mut [0; 64]);
        }
        if cgroup.new_oom_kills() > 0 {
            let event = KeeperEvent::Oom {
                key: process.key.clone(),
            };
            self.tell_everyone(&Notice::Event(event));
        }
    }

    /// A process has ended.
    fn on_exit(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Some(pidfd) = &process.pidfd else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let code = match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(Some(status)) => status
                .exit_status()
                .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
                .unwrap_or(255),
            Ok(None) | Err(Errno::INTR) => return,
            Err(error) => {
                // Somebody else has reaped it, which nobody may.
                tracing::error!(%error, process = %process.key, "cannot learn how a process ended");
                255
            }
        };
        self.control.remove(pidfd);
        process.pidfd = None;
        if matches!(process.stage, Stage::Starting(_)) {
            self.on_status(number);
            // Whoever else may hold the status pipe.
            self.started(number);
        }
        self.ended(number, code);
    }

    fn ended(&mut self, number: u32, code: i32) {
        self.on_oom(number);
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let cgroup = process.cgroup.take();
        let oom_killed = cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills > 0);
        let cgroup = cgroup.map(|cgroup| cgroup.path);
        let stage = match std::mem::replace(&mut process.stage, Stage::Forgotten) {
            Stage::Failed(caller, error) => {
                self.drop_process(number);
                if let Some(cgroup) = cgroup {
                    self.remove_cgroup(cgroup);
                }
                return self.answer(caller, Answer::NotStarted(*error));
            }
            Stage::Running => Stage::Draining(Exited {
                code,
                at: Timestamp::now(),
                oom_killed,
            }),
            stage => stage,
        };
        process.stage = stage;
        if let Some(cgroup) = cgroup {
            self.remove_cgroup(cgroup);
        }
        self.conclude(number);
        if self.processes.get(&number).is_some_and(Process::is_alive) {
            self.set_timer(DRAIN, Timer::Drained(number));
        }
    }

    /// Tells everyone of an exit if there is no more output to come.
    fn conclude(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Stage::Draining(exited) = process.stage else {
            return;
        };
        if !process.streams.is_over {
            return;
        }
        // A terminal's master, and input that nobody reads any more.
        process.streams.end(None, &mut self.bench);
        process.stage = Stage::Ended(exited);
        let event = KeeperEvent::Exited {
            key: process.key.clone(),
            exited,
        };
        self.tell_everyone(&Notice::Event(event));
    }

    /// Output was waited for long enough.
    fn drained(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Stage::Draining(exited) = process.stage else {
            return;
        };
        if process.streams.is_paused() {
            // A slow attachment is no reason to hide the exit, nor to lose what waits in the pipe.
            process.stage = Stage::Ended(exited);
            let event = KeeperEvent::Exited {
                key: process.key.clone(),
                exited,
            };
            return self.tell_everyone(&Notice::Event(event));
        }
        process
            .streams
            .end(process.log.as_deref_mut(), &mut self.bench);
        self.conclude(number);
    }

    /// Forgets everything about a process; what is attached sees the end.
    pub(super) fn drop_process(&mut self, number: u32) {
        if let Some(process) = self.processes.remove(&number)
            && self.keys.get(&process.key) == Some(&number)
        {
            self.keys.remove(&process.key);
        }
    }

    /// Kills what is left in a cgroup and removes it, now or soon.
    pub(super) fn remove_cgroup(&mut self, path: Box<str>) {
        self.removals.push((path, 0));
        self.try_removals();
    }

    fn try_removals(&mut self) {
        self.removals.retain_mut(|(path, tries)| {
            let Err(error) = Cgroup::at(path).and_then(|cgroup| cgroup.remove()) else {
                return false;
            };
            *tries += 1;
            if *tries >= REMOVAL_TRIES {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove a cgroup"
                );
            }
            *tries < REMOVAL_TRIES
        });
        if !self.removals.is_empty() {
            self.set_timer(REMOVAL_PAUSE, Timer::Removals);
        }
    }

    // Streams.

    fn on_stream(&mut self, token: Token, flags: EventFlags) -> usize {
        let (Token::Output(number, _) | Token::Pump(number) | Token::Attachment(number, _)) = token
        else {
            return 0;
        };
        let Some(process) = self.processes.get_mut(&number) else {
            return 0;
        };
        let bench = &mut self.bench;
        let mut moved = 0;
        match token {
            Token::Output(_, index) => {
                moved = process
                    .streams
                    .on_output(index, flags, process.log.as_deref_mut(), bench);
            }
            Token::Pump(_) => process.streams.on_pump(bench),
            Token::Attachment(_, attachment) => {
                process.streams.on_attachment(attachment, flags, bench)
            }
            _ => {}
        }
        let is_unused = process.streams.attachments.is_empty();
        match process.stage {
            Stage::Draining(_) => self.conclude(number),
            Stage::Forgotten if is_unused => self.drop_process(number),
            Stage::Prepared { .. } if is_unused && process.streams.stdin.is_none() => {
                self.drop_process(number)
            }
            _ => {}
        }
        if moved > 0 {
            self.watch_idle_logs();
        }
        moved
    }

    pub(super) fn watch_idle_logs(&mut self) {
        if !self
            .timers
            .iter()
            .any(|(_, timer)| *timer == Timer::IdleLogs)
        {
            self.set_timer(LOG_IDLE, Timer::IdleLogs);
        }
    }

    fn close_idle_logs(&mut self) {
        let Some(since) = Instant::now().checked_sub(LOG_IDLE) else {
            return;
        };
        let mut is_any_open = false;
        for process in self.processes.values_mut() {
            if let Some(log) = &mut process.log {
                log.close_if_unused_since(since);
                is_any_open |= log.is_open();
            }
        }
        if is_any_open {
            self.set_timer(LOG_IDLE, Timer::IdleLogs);
        }
    }

    // Time.

    fn set_timer(&mut self, after: Duration, timer: Timer) {
        self.timers.insert((Instant::now() + after, timer));
    }

    fn on_timers(&mut self) {
        let now = Instant::now();
        while let Some((_, timer)) = self
            .timers
            .first()
            .copied()
            .filter(|(deadline, _)| *deadline <= now)
        {
            self.timers.pop_first();
            match timer {
                Timer::Drained(number) => self.drained(number),
                Timer::IdleLogs => self.close_idle_logs(),
                Timer::Removals => self.try_removals(),
                Timer::Accept => {
                    if let Err(error) =
                        self.control
                            .add(&self.listener, Token::Listener, EventFlags::IN)
                    {
                        tracing::error!(%error, "cannot listen");
                        self.set_timer(ACCEPT_PAUSE, Timer::Accept);
                    }
                }
            }
        }
    }

    // The end.

    /// `SIGTERM`: the machine goes down, and sends it to everyone. Containers end in their own
    /// way, and the keeper after them.
    fn terminate(&mut self) {
        let mut signal = [0; 128];
        while rustix::io::read(&self.terminations, &mut signal).is_ok_and(|count| count > 0) {}
        self.leaving.get_or_insert(Leaving::WhenIdle);
    }

    /// Kills everything, answers once it is done, and ends.
    pub(super) fn shut_down(&mut self, caller: Caller) {
        match &mut self.leaving {
            Some(Leaving::Now(callers)) => return callers.push(caller),
            leaving => *leaving = Some(Leaving::Now(vec![caller])),
        }
        for process in self.processes.values() {
            process.kill();
        }
    }

    fn is_done(&mut self) -> bool {
        let Some(leaving) = &mut self.leaving else {
            return false;
        };
        if self.processes.values().any(Process::is_alive) || !self.removals.is_empty() {
            return false;
        }
        if let Leaving::Now(callers) = leaving {
            for caller in std::mem::take(callers) {
                self.answer(caller, Answer::Done);
            }
        }
        true
    }
}

/// What the keeper says of itself.
pub(super) fn hello() -> Hello {
    Hello {
        protocol: VERSION,
        pid: std::process::id(),
        build: build(),
    }
}

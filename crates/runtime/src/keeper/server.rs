//! The keeper's loop: waits, does what clients ask, reaps, and moves output.
//!
//! Calls, starts and exits go before output: of that about one chunk is moved before they are
//! looked at again, so a chatty container delays nobody. Everything is done by this one thread,
//! and nothing blocks it. [`super::clients`] says who asks, [`super::calls`] carries out what they
//! ask, [`super::lives`] what processes do by themselves.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::connection::Connection;
use super::poll::{Poll, Token};
use super::process::{Caller, Process, Stage};
use super::protocol::{Answer, ProcessKey};
use super::streams::Workbench;
use crate::sys;

/// Bytes of output after which calls are looked at again.
const TURN_BYTES: usize = 64 << 10;
/// Most streams looked at before calls are.
const TURN_STREAMS: usize = 16;
/// Most calls and exits taken at once.
const TURN_CONTROLS: usize = 64;
/// A log that was not written for so long is closed until it is.
const LOG_IDLE: Duration = Duration::from_secs(10);

/// How long clients may take to hear that the keeper ends.
const FAREWELL: Duration = Duration::from_secs(2);

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
    /// Everything is done; clients are given until then to hear it.
    Farewell(Instant),
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A process's output was waited for long enough.
    Drained(u32),
    /// Logs may be idle.
    IdleLogs,
    /// A process may have been killed for want of memory.
    Oom(u32),
    /// Cgroups may be gone.
    Removals,
    /// There may be descriptors again.
    Accept,
    /// Clients had time to hear the last answer.
    Farewell,
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
                process.streams.on_attachment(attachment, flags, bench);
            }
            _ => {}
        }
        let is_unused = process.streams.attachments.is_empty();
        match process.stage {
            Stage::Draining(_) => self.conclude(number),
            Stage::Forgotten if is_unused && process.streams.is_over => self.drop_process(number),
            Stage::Prepared { .. } if is_unused && process.streams.stdin.is_none() => {
                self.drop_process(number);
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

    /// Lets something be done later.
    pub(super) fn set_timer(&mut self, after: Duration, timer: Timer) {
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
                Timer::Oom(number) => self.look_for_oom_kills(number),
                Timer::Removals => self.try_removals(),
                Timer::Accept => self.accept_again(),
                // It has woken the loop, which looks at the time.
                Timer::Farewell => {}
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
            let callers = std::mem::take(callers);
            self.leaving = Some(Leaving::Farewell(Instant::now() + FAREWELL));
            for caller in callers {
                self.answer(caller, Answer::Done);
            }
            self.set_timer(FAREWELL, Timer::Farewell);
        }
        // Clients may still have to read a thousand exits before that answer.
        let is_heard = self.clients.values().all(|client| client.outbox.is_empty());
        is_heard
            || matches!(self.leaving, Some(Leaving::Farewell(until)) if until <= Instant::now())
    }
}

//! What happens to processes by themselves: they start, run out of memory, end, and leave output
//! and a cgroup behind.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::poll::Token;
use super::process::{Process, Stage};
use super::protocol::{Answer, Exited, KeeperEvent, Notice, Spawned};
use super::server::{Server, Timer};
use crate::cgroup::Cgroup;
use crate::start::status;

/// How long output is waited for after its process has ended, when somebody else holds the pipe.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause before the count of the killed is looked at again.
const OOM_PAUSE: Duration = Duration::from_millis(10);
/// Looks at that count after a signal that it does not account for: a second of them.
const OOM_LOOKS: u8 = 100;
/// Pause before a cgroup that is still busy is tried again.
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);
/// Tries before it is left alone. The kernel needs milliseconds.
const REMOVAL_TRIES: u32 = 500;

impl Server {
    /// Takes a process in that another program image had.
    pub(super) fn add_process(&mut self, mut process: Process) -> io::Result<()> {
        let number = process.streams.process;
        if process.pidfd.is_none() {
            process.streams.process_ended();
        }
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
    pub(super) fn on_status(&mut self, number: u32) {
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

    /// A start has succeeded or failed, unless that is known already.
    fn started(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let starting = match std::mem::replace(&mut process.stage, Stage::Running) {
            Stage::Starting(starting) => starting,
            stage => {
                process.stage = stage;
                return;
            }
        };
        self.control.remove(&starting.status);
        let caller = starting.caller;
        let is_watched = process.is_watched();
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
                // Memory may have run out before it was watched.
                if is_watched {
                    self.look_for_oom_kills(number);
                }
            }
            Err(error) => {
                // It is about to exit by itself; then it is answered, and nothing is left.
                process.stage = Stage::Failed(caller, Box::new(error));
                process.kill();
            }
        }
    }

    /// A container's memory ran out, or its cgroup is being removed.
    pub(super) fn on_oom(&mut self, number: u32) {
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
        // Version 1 signals before it kills, so that the kill may not be counted yet.
        let is_looking = std::mem::replace(&mut cgroup.oom_looks, OOM_LOOKS) > 0;
        if !is_looking {
            self.look_for_oom_kills(number);
        }
    }

    /// Tells of kills that nobody was told of, or looks again.
    pub(super) fn look_for_oom_kills(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let Some(cgroup) = &mut process.cgroup else {
            return;
        };
        if cgroup.new_oom_kills() > 0 {
            cgroup.oom_looks = 0;
            let event = KeeperEvent::Oom {
                key: process.key.clone(),
            };
            self.tell_everyone(&Notice::Event(event));
            return;
        }
        cgroup.oom_looks = cgroup.oom_looks.saturating_sub(1);
        if cgroup.oom_looks > 0 {
            self.set_timer(OOM_PAUSE, Timer::Oom(number));
        }
    }

    /// A process has ended.
    pub(super) fn on_exit(&mut self, number: u32) {
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
        process.streams.process_ended();
        if matches!(process.stage, Stage::Starting(_)) {
            self.on_status(number);
            // Whoever else may hold the status pipe.
            self.started(number);
        }
        self.ended(number, code);
    }

    fn ended(&mut self, number: u32, code: i32) {
        self.look_for_oom_kills(number);
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let cgroup = process.cgroup.take();
        if let Some(watch) = cgroup.as_ref().and_then(|cgroup| cgroup.watch.as_ref()) {
            self.control.remove(watch);
        }
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
    pub(super) fn conclude(&mut self, number: u32) {
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
    pub(super) fn drained(&mut self, number: u32) {
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
        let Some(process) = self.processes.remove(&number) else {
            return;
        };
        process.streams.disarm(&self.bench);
        if self.keys.get(&process.key) == Some(&number) {
            self.keys.remove(&process.key);
        }
    }

    /// Kills what is left in a cgroup and removes it, now or soon.
    pub(super) fn remove_cgroup(&mut self, path: Box<str>) {
        self.removals.push((path, 0));
        self.try_removals();
    }

    /// Cgroups may be gone now.
    pub(super) fn try_removals(&mut self) {
        self.removals.retain_mut(|(path, tries)| {
            *tries += 1;
            let is_last = *tries >= REMOVAL_TRIES;
            match Cgroup::at(path).and_then(|cgroup| cgroup.try_remove()) {
                Ok(true) => return false,
                Ok(false) if is_last => {
                    tracing::error!(%path, "the processes of a cgroup do not end");
                }
                Ok(false) => {}
                Err(error) if is_last => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot remove a cgroup"
                    );
                }
                Err(_) => {}
            }
            !is_last
        });
        if !self.removals.is_empty() {
            self.set_timer(REMOVAL_PAUSE, Timer::Removals);
        }
    }
}

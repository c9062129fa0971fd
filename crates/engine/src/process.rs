//! What is done to process 1 of an instance: streams, signals, freezing, new limits, and its end.

use std::sync::Arc;
use std::time::Duration;

use model::Id;
use model::container::TerminalSize;
use model::instance::{Endpoint, Failure, FailureKind, Instance, StopRequest};
use model::network::Network;
use model::stream::LogOptions;
use oci_spec::runtime::LinuxPids;
use runtime::cgroup::Cgroup;
use runtime::keeper::{CallError, ProcessKey, Refusal};

use crate::failure::{failure, internal, refused};
use crate::host::Inner;
use crate::instance::container;
use crate::log::Lines;
use crate::network::Sandbox;
use crate::run::{Live, State};
use crate::spec::limits;
use crate::{Happening, Input, Output, attachment, signal};

/// Seconds between the stop signal and the kill, unless someone says otherwise.
const STOP_TIMEOUT_SECS: i64 = 10;
/// How long the kernel may take to end a process that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What a request for a running instance is answered when it does not run.
pub(crate) fn not_running(id: Id) -> Failure {
    refused(
        FailureKind::Conflict,
        format!("container {} is not running", id.simple()),
    )
}

impl Inner {
    /// Asks the process to stop, then kills it. Answers once it has ended.
    pub(crate) async fn stop(&self, instance: &Instance, how: &StopRequest) -> Result<(), Failure> {
        let container = container(instance)?;
        let wanted = how
            .signal
            .as_deref()
            .or(container.stop_signal.as_deref())
            .filter(|name| !name.is_empty());
        let number = signal::parse(wanted.unwrap_or("SIGTERM"))
            .map_err(|error| failure(FailureKind::Invalid, &error))?;
        let timeout = how
            .timeout_secs
            .or(container.stop_timeout_secs)
            .unwrap_or(STOP_TIMEOUT_SECS);
        let Some(live) = self.runs.running(instance.meta.id) else {
            return Ok(());
        };
        self.send(&live, number).await?;
        self.thaw(&live)?;
        match u64::try_from(timeout) {
            Err(_negative) => {
                live.exited().await;
                return Ok(());
            }
            Ok(seconds) => {
                if tokio::time::timeout(Duration::from_secs(seconds), live.exited())
                    .await
                    .is_ok()
                {
                    return Ok(());
                }
            }
        }
        self.send(&live, rustix::process::Signal::KILL.as_raw())
            .await?;
        self.thaw(&live)?;
        match tokio::time::timeout(KILL_PATIENCE, live.exited()).await {
            Ok(_) => Ok(()),
            Err(_elapsed) => Err(refused(
                FailureKind::Internal,
                format!(
                    "container {} was killed and has not ended; a process waits in the kernel",
                    live.id.simple()
                ),
            )),
        }
    }

    /// Sends a signal by name or number to process 1.
    pub(crate) async fn signal(&self, id: Id, name: &str) -> Result<(), Failure> {
        let number = signal::parse(name).map_err(|error| failure(FailureKind::Invalid, &error))?;
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        self.send(&live, number).await?;
        // A frozen process ends only once it is thawed.
        let stop_signal = live
            .note
            .stop_signal
            .as_deref()
            .and_then(|name| signal::parse(name).ok());
        let ends = number == rustix::process::Signal::KILL.as_raw()
            || stop_signal.is_none_or(|stop| stop == number);
        if ends { self.thaw(&live) } else { Ok(()) }
    }

    /// A process that has ended meanwhile needs no signal.
    async fn send(&self, live: &Live, number: i32) -> Result<(), Failure> {
        match self.keeper().signal(&live.key(), number).await {
            Ok(_) => {
                self.happened(Happening::Signal(live.id, number));
                Ok(())
            }
            Err(error) if error.is_not_running() || error.is_no_such_process() => Ok(()),
            Err(error) => Err(internal(&error)),
        }
    }

    fn thaw(&self, live: &Live) -> Result<(), Failure> {
        match live.state() {
            // One that was killed while frozen may be gone already, with its cgroup.
            State::Paused => match self.freeze(live, false) {
                Err(_) if !live.is_there() => Ok(()),
                answer => answer,
            },
            State::Running | State::Exited(_) => Ok(()),
        }
    }

    /// Freezes or thaws every process of an instance.
    pub(crate) fn set_paused(self: &Arc<Self>, id: Id, paused: bool) -> Result<(), Failure> {
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        self.freeze(&live, paused)?;
        // A frozen container cannot answer, which is no sign of bad health.
        if paused {
            live.set_health_task(None);
        } else {
            self.watch_health(&live);
        }
        Ok(())
    }

    fn freeze(&self, live: &Live, frozen: bool) -> Result<(), Failure> {
        let cgroup = Cgroup::at(&live.note.cgroups_path);
        let changed = cgroup.and_then(|cgroup| {
            if frozen {
                cgroup.freeze()
            } else {
                cgroup.thaw()
            }
        });
        changed.map_err(|error| internal(&error))?;
        live.set_state(if frozen {
            State::Paused
        } else {
            State::Running
        });
        Ok(())
    }

    /// Applies the volumes and limits of the spec, its name and its names for others, to a running
    /// instance.
    pub(crate) async fn update(&self, instance: &Instance) -> Result<(), Failure> {
        let container = container(instance)?;
        let invalid = |error: limits::LimitError| failure(FailureKind::Invalid, &error);
        limits::check(&container.resources, self.online_cpus).map_err(invalid)?;
        let mut resources = limits::resources(&container.resources).map_err(invalid)?;
        if resources.pids().is_none() {
            // There may have been a limit before.
            let mut pids = LinuxPids::default();
            pids.set_limit(-1);
            resources.set_pids(Some(pids));
        }
        self.remount(instance, &container.mounts).await?;
        self.update_origin(instance, container)?;
        let Some(live) = self.runs.running(instance.meta.id) else {
            return Ok(());
        };
        let updated =
            Cgroup::at(&live.note.cgroups_path).and_then(|cgroup| cgroup.update(&resources));
        updated.map_err(|error| internal(&error))?;
        let sandbox = self.networks.rename(instance).await;
        match sandbox.map_err(|error| failure(error.kind(), &error))? {
            Some(sandbox) => self.rewrite_names(instance.meta.id, &sandbox),
            None => Ok(()),
        }
    }

    /// Adds an interface to a running instance.
    pub(crate) async fn connect(
        &self,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<(), Failure> {
        let id = instance.meta.id;
        let _live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        let sandbox = self.networks.connect(instance, endpoint, network).await;
        let sandbox = sandbox.map_err(|error| failure(error.kind(), &error))?;
        self.rewrite_names(id, &sandbox)
    }

    /// Takes an interface from a running instance.
    pub(crate) async fn disconnect(&self, id: Id, endpoint: Id) -> Result<(), Failure> {
        let sandbox = self.networks.disconnect(id, endpoint).await;
        let sandbox = sandbox.map_err(|error| failure(error.kind(), &error))?;
        self.rewrite_names(id, &sandbox)
    }

    /// In place: the container has these very files mounted.
    fn rewrite_names(&self, id: Id, sandbox: &Sandbox) -> Result<(), Failure> {
        let directory = self.directories.instance(id);
        crate::start::write_file(directory.hosts(), &sandbox.hosts)?;
        crate::start::write_file(directory.resolv_conf(), &sandbox.resolv_conf)
    }

    /// Streams of a running instance, or of the next run of one that does not run.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure> {
        if let Some(live) = self.runs.get(id) {
            match live.state() {
                State::Running => {}
                State::Paused => {
                    let words = format!(
                        "container {} is paused, unpause the container before attach",
                        id.simple()
                    );
                    return Err(refused(FailureKind::Conflict, words));
                }
                // What has ended gives way to what is about to start.
                State::Exited(_) => self.forget(&live).await?,
            }
        }
        let has_input = match self.origin(id) {
            // It is still to be made; whoever asks has looked at its specification.
            Err(failure) if failure.kind == FailureKind::NotFound => true,
            origin => origin?.open_stdin,
        };
        let stdin = stdin && has_input;
        let key = ProcessKey::container(id.simple());
        let keeper = self.keeper();
        let attached = match keeper.attach(&key, stdin, output).await {
            // Its input was not opened or is closed already: what is written has nowhere to go.
            Err(CallError::Refused(Refusal::NoStream { .. })) if stdin => {
                keeper.attach(&key, false, output).await
            }
            answer => answer,
        };
        let attached = attached.map_err(|error| internal(&error))?;
        let host = Arc::downgrade(self);
        let ends_input = move || {
            let live = host.upgrade().and_then(|host| host.runs.get(id));
            live.is_some_and(|live| live.note.stdin_once && !live.note.tty)
        };
        let end = std::future::ready(());
        attachment::channels(attached, &keeper, &key, Box::new(ends_input), end)
            .map_err(|error| internal(&error))
    }

    /// Sets the size of the terminal.
    pub(crate) async fn resize(&self, id: Id, size: TerminalSize) -> Result<(), Failure> {
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        let resized = self
            .keeper()
            .resize(&live.key(), size.rows, size.columns)
            .await;
        match resized {
            Err(error) if error.is_not_running() => Err(not_running(id)),
            // Without a terminal there is nothing to do, as with dockerd.
            Err(error) if !error.is_no_stream() => Err(internal(&error)),
            _ => Ok(()),
        }
    }

    /// Lines of the log; where they are followed, until the run ends.
    pub(crate) fn read_log(&self, id: Id, options: &LogOptions) -> Lines {
        let live = self.runs.get(id);
        let ended = async move {
            if let Some(live) = live {
                live.exited().await;
            }
        };
        self.logs
            .read(&self.directories.instance(id).log(), options, ended)
    }

    /// Lets the keeper forget a run that ended, and remembers its exit here in its place.
    pub(crate) async fn forget(&self, live: &Live) -> Result<(), Failure> {
        let State::Exited(exit) = live.state() else {
            return Ok(());
        };
        if live.was_forgotten() {
            return Ok(());
        }
        // A removed instance has no directory to remember anything in.
        if self.directories.instance(live.id).root().is_dir() {
            self.keep_exit(live.id, live.note.run, &exit)
                .map_err(|error| internal(&error))?;
        }
        match self.keeper().forget(&live.key()).await {
            Err(error) if !error.is_no_such_process() => Err(internal(&error)),
            _ => {
                live.set_forgotten();
                Ok(())
            }
        }
    }
}

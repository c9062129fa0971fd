//! The engine's simulated twin: the whole of [`crate::Engine`] in memory, for tests of everything above.
//!
//! It starts no process and touches no file of the host. Programs are small interpretations of
//! the arguments ([`program`]), root file systems are trees in memory ([`files`]), and time is
//! tokio's, so that a test with paused time is deterministic. What happens by itself on a real
//! node (a death, a lack of memory, a health verdict, a failing kernel call) is triggered by
//! methods of [`Simulated`]. It outlives the agent, as the keeper does: give one [`Simulated`] to
//! the next agent and [`crate::Engine::found`] tells what became of everything.
//!
//! It shows what can be seen through the trait; it checks no limit and no privilege.

mod archive;
mod console;
mod engine;
mod exec;
mod files;
mod log;
mod ports;
mod process;
mod program;
mod usage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::Id;
use model::firewall::Firewall;
use model::instance::{Exit, Failure, FailureKind, Health, Instance, Run};
use model::network::Network;
use model::stream::{ExecSpec, ExecStatus, LogLine, Stream};
use tokio::sync::{broadcast, mpsc, watch};

use self::console::Console;
use self::files::Tree;
use crate::failure::refused;
use crate::{Guard, Happening, RouterPlan, Started};

/// How many happenings a slow listener may lag behind.
const HAPPENINGS_KEPT: usize = 4096;

/// An engine without a host. Clones share one world.
#[derive(Clone, Debug)]
pub struct Simulated {
    world: Arc<World>,
}

/// Methods of [`crate::Engine`] that can be told to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is the method of the same name")]
pub enum Operation {
    Create,
    Start,
    Stop,
    SetPaused,
    Update,
    Connect,
    Disconnect,
    Remove,
    EnsureNetwork,
    RemoveNetwork,
    EnsureVolume,
    RemoveVolume,
    EnsureSnapshot,
    RemoveSnapshot,
    Found,
    Signal,
    Attach,
    Resize,
    ExecCreate,
    ExecStart,
    ExecResize,
    ExecStatus,
    Logs,
    Stats,
    Processes,
    StatPath,
    ReadArchive,
    WriteArchive,
    Changes,
    Layer,
    VolumeSize,
    ExportVolume,
    Export,
    WritableSize,
}

#[derive(Debug)]
struct World {
    state: Mutex<State>,
    happenings: broadcast::Sender<Happening>,
    origin: Timestamp,
    began: tokio::time::Instant,
}

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<Id, Body>,
    networks: BTreeMap<Id, Network>,
    firewalls: BTreeMap<Id, Firewall>,
    guards: BTreeMap<Id, Guard>,
    routers: BTreeMap<Id, RouterPlan>,
    volumes: BTreeMap<Id, PathBuf>,
    snapshots: BTreeSet<Id>,
    execs: BTreeMap<String, ExecBody>,
    failures: BTreeMap<Operation, VecDeque<Failure>>,
    pids_given: u32,
    execs_made: u64,
}

/// One instance: what a host would have of it.
#[derive(Debug)]
struct Body {
    instance: Instance,
    image: Tree,
    files: Tree,
    log: Vec<LogLine>,
    /// Changes whenever the log grows or a run ends.
    log_grew: watch::Sender<u64>,
    /// Streams of the run, or of the next one.
    console: Arc<Console>,
    run: Option<CurrentRun>,
}

/// The newest run of an instance.
#[derive(Debug)]
struct CurrentRun {
    run: Run,
    started: Started,
    control: Control,
    exit: Option<Exit>,
}

/// The engine's hold on a simulated process.
#[derive(Clone, Debug)]
struct Control {
    signals: mpsc::UnboundedSender<i32>,
    paused: watch::Sender<bool>,
}

#[derive(Debug)]
struct ExecBody {
    instance: Id,
    status: ExecStatus,
    console: Arc<Console>,
    control: Option<Control>,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulated {
    /// An empty host whose clock shows the time now.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Timestamp::now())
    }

    /// An empty host whose clock shows `origin` now and goes on with tokio's.
    #[must_use]
    pub fn at(origin: Timestamp) -> Self {
        let world = World {
            state: Mutex::default(),
            happenings: broadcast::channel(HAPPENINGS_KEPT).0,
            origin,
            began: tokio::time::Instant::now(),
        };
        Self {
            world: Arc::new(world),
        }
    }

    /// Makes the next call of `operation` fail. Several of them queue up.
    pub fn fail_next(&self, operation: Operation, failure: Failure) {
        self.world
            .state()
            .failures
            .entry(operation)
            .or_default()
            .push_back(failure);
    }

    /// Ends process 1 of a running instance with this status, as if by itself.
    ///
    /// Answers whether it ran.
    #[must_use]
    pub fn exit(&self, id: Id, code: i32) -> bool {
        self.world.finish(id, None, code, false)
    }

    /// Has the kernel kill a running instance for want of memory. Answers whether it ran.
    #[must_use]
    pub fn run_out_of_memory(&self, id: Id) -> bool {
        let ran = self.world.is_running(id);
        if ran {
            self.world.tell(Happening::OutOfMemory(id));
        }
        ran && self.world.finish(id, None, 128 + program::SIGKILL, true)
    }

    /// Tells a health check's verdict.
    pub fn set_health(&self, id: Id, health: Health) {
        self.world.tell(Happening::Health(id, health));
    }

    /// Writes output of a running instance, as if its program did.
    pub async fn write_output(&self, id: Id, stream: Stream, bytes: &[u8]) {
        self.world
            .write_output(id, None, stream, Bytes::copy_from_slice(bytes))
            .await;
    }

    /// Puts a file into the image that instance `id` was made from, and into its root.
    pub fn put_image_file(&self, id: Id, path: &str, contents: &[u8]) {
        let now = self.world.now();
        if let Some(body) = self.world.state().instances.get_mut(&id) {
            body.image.put(path, contents, now);
            body.files.put(path, contents, now);
        }
    }

    /// Restarts the machine: no process is left, and nobody knows how they ended.
    pub fn reboot(&self) {
        let mut state = self.world.state();
        state.execs.clear();
        for body in state.instances.values_mut() {
            if let Some(current) = body.run.take() {
                current.control.send(program::SIGKILL);
            }
            body.renew_console();
        }
    }

    /// Identities of the instances there are.
    #[must_use]
    pub fn instances(&self) -> Vec<Id> {
        self.world.state().instances.keys().copied().collect()
    }

    /// Identities of the networks there are.
    #[must_use]
    pub fn networks(&self) -> Vec<Id> {
        self.world.state().networks.keys().copied().collect()
    }

    /// What a port may send and receive, where that was said.
    #[must_use]
    pub fn guard(&self, port: Id) -> Option<Guard> {
        self.world.state().guards.get(&port).cloned()
    }

    /// A firewall, where there is one.
    #[must_use]
    pub fn firewall(&self, id: Id) -> Option<Firewall> {
        self.world.state().firewalls.get(&id).cloned()
    }

    /// A router, where there is one.
    #[must_use]
    pub fn router(&self, id: Id) -> Option<RouterPlan> {
        self.world.state().routers.get(&id).cloned()
    }

    /// Identities of the volumes there are.
    #[must_use]
    pub fn volumes(&self) -> Vec<Id> {
        self.world.state().volumes.keys().copied().collect()
    }

    /// The clock of this host.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }
}

impl Control {
    fn send(&self, signal: i32) {
        // A frozen process could not die of it before it is thawed (cgroup v1), and Docker thaws it.
        if signal == program::SIGKILL {
            self.paused.send_replace(false);
        }
        // The receiver is gone when the process has ended, which is what was wanted.
        _ = self.signals.send(signal);
    }
}

impl Body {
    fn new(instance: Instance, now: Timestamp) -> Self {
        let image = Tree::of_an_image(now);
        let console = Arc::new(Console::of_instance(&instance));
        Self {
            files: image.clone(),
            image,
            log: Vec::new(),
            log_grew: watch::Sender::new(0),
            console,
            run: None,
            instance,
        }
    }

    fn renew_console(&mut self) {
        self.console = Arc::new(Console::of_instance(&self.instance));
    }

    fn running(&self) -> Option<&CurrentRun> {
        self.run.as_ref().filter(|run| run.exit.is_none())
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.origin.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn tell(&self, happening: Happening) {
        // Nobody listens while there is no agent.
        drop(self.happenings.send(happening));
    }

    fn is_running(&self, id: Id) -> bool {
        self.state()
            .instances
            .get(&id)
            .is_some_and(|body| body.running().is_some())
    }

    /// The failure a test asked for, if any.
    fn scripted(&self, operation: Operation) -> Result<(), Failure> {
        let mut state = self.state();
        let next = state
            .failures
            .get_mut(&operation)
            .and_then(VecDeque::pop_front);
        next.map_or(Ok(()), Err)
    }

    /// Notes the end of a run (of this one, where `run` is given). Answers whether it ran.
    fn finish(&self, id: Id, run: Option<Run>, code: i32, oom_killed: bool) -> bool {
        let exit = Exit {
            code,
            oom_killed,
            at: self.now(),
        };
        let ended = {
            let mut state = self.state();
            let Some(body) = state.instances.get_mut(&id) else {
                return false;
            };
            let Some(current) = body.run.as_mut().filter(|current| {
                current.exit.is_none() && run.is_none_or(|run| run == current.run)
            }) else {
                return false;
            };
            current.exit = Some(exit.clone());
            current.control.send(program::SIGKILL);
            let ended = current.run;
            body.renew_console();
            body.log_grew.send_modify(|version| *version += 1);
            state
                .execs
                .retain(|_, exec| exec.instance != id || exec.control.is_some());
            for exec in state.execs.values().filter(|exec| exec.instance == id) {
                if let Some(control) = &exec.control {
                    control.send(program::SIGKILL);
                }
            }
            ended
        };
        self.tell(Happening::Exited(id, ended, exit));
        true
    }

    /// Keeps output in the log and hands it to whoever is attached.
    ///
    /// A process names its `console`, so that one that has been ended writes nothing into the next run.
    async fn write_output(
        &self,
        id: Id,
        console: Option<&Arc<Console>>,
        stream: Stream,
        bytes: Bytes,
    ) {
        let at = self.now();
        let console = {
            let mut state = self.state();
            let Some(body) = state.instances.get_mut(&id) else {
                return;
            };
            if console.is_some_and(|console| !Arc::ptr_eq(console, &body.console)) {
                return;
            }
            if body.keeps_log() {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    body.log.push(LogLine {
                        stream,
                        at,
                        bytes: line.to_vec(),
                        details: Default::default(),
                    });
                }
                body.log_grew.send_modify(|version| *version += 1);
            }
            Arc::clone(&body.console)
        };
        console.write(stream, bytes).await;
    }
}

impl State {
    fn body(&mut self, id: Id) -> Result<&mut Body, Failure> {
        self.instances.get_mut(&id).ok_or_else(|| {
            refused(
                FailureKind::NotFound,
                format!("No such container: {}", id.simple()),
            )
        })
    }

    fn running(&mut self, id: Id) -> Result<(&CurrentRun, &Arc<Console>), Failure> {
        let body = self.body(id)?;
        match &body.run {
            Some(run) if run.exit.is_none() => Ok((run, &body.console)),
            _ => Err(not_running(id)),
        }
    }

    fn exec(&mut self, exec: &str) -> Result<&mut ExecBody, Failure> {
        self.execs.get_mut(exec).ok_or_else(|| {
            refused(
                FailureKind::NotFound,
                format!("No such exec instance: {exec}"),
            )
        })
    }

    fn new_pid(&mut self) -> u32 {
        self.pids_given += 1;
        1000 + self.pids_given
    }

    /// Sixty-four hexadecimal digits that look random and are the same in every test run.
    fn new_exec_id(&mut self) -> String {
        self.execs_made += 1;
        (0..4)
            .map(|part| format!("{:016x}", scrambled(self.execs_made * 4 + part)))
            .collect()
    }

    fn forget_execs(&mut self, id: Id) {
        self.execs.retain(|_, exec| exec.instance != id);
    }
}

impl ExecBody {
    fn new(instance: Id, spec: &ExecSpec) -> Self {
        let status = ExecStatus {
            spec: spec.clone(),
            running: false,
            pid: 0,
            exit_code: None,
        };
        Self {
            instance,
            status,
            console: Arc::new(Console::of_exec(spec)),
            control: None,
        }
    }
}

/// The finalizer of the SplitMix64 generator.
const fn scrambled(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn not_running(id: Id) -> Failure {
    refused(
        FailureKind::Conflict,
        format!("container {} is not running", id.simple()),
    )
}

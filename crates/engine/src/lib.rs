//! Instances on one host: root file systems, networks, volumes, logs, exec, stats and health.
//!
//! [`Engine`] is what the agent and the streams of the public APIs use. [`host::Host`] is the real
//! one over the keeper; [`simulated::Simulated`] is its twin for tests of everything above. The
//! engine knows neither the store, nor other nodes, nor any API.

mod adoption;
mod archive;
mod attachment;
mod changes;
pub mod directory;
mod disk;
pub mod drive;
mod exec;
pub mod facts;
mod failure;
mod health;
pub mod host;
mod instance;
mod layer;
mod log;
pub mod metrics;
pub mod network;
mod process;
mod processes;
mod root;
mod run;
mod seccomp;
mod signal;
pub mod simulated;
mod spec;
mod start;
mod stats;
mod sweep;
mod unheard;
mod volume;

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::Id;
use model::container::TerminalSize;
use model::firewall::Firewall;
use model::instance::{BoundPort, Endpoint, Exit, Failure, Health, Instance, Run, StopRequest};
use model::network::Network;
use model::snapshot::Snapshot;
use model::stream::{
    Change, ExecSpec, ExecStatus, ExtractOptions, HostPaths, LogLine, LogOptions, PathStat,
    Processes, Stats, Stream,
};
use model::volume::Volume;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc};

pub use crate::network::{Guard, LegPlan, RouterPlan};

/// Bytes out of a process, as they come.
pub type Output = mpsc::Receiver<(Stream, Bytes)>;
/// Bytes into a process; shutting it down ends the process's standard input.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// A tar archive on its way.
pub type Archive = Box<dyn AsyncRead + Send + Unpin>;

/// A run that began.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Process 1, as the node numbers it.
    pub pid: u32,
    /// When it was executed.
    pub at: Timestamp,
    /// Interfaces that exist now.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the node in use now.
    pub ports: Vec<BoundPort>,
}

/// What a node finds when its agent starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which instance.
    pub id: Id,
    /// Which run it is of.
    pub run: Run,
    /// What became of it.
    pub state: FoundState,
    /// Interfaces that exist now.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the node in use now.
    pub ports: Vec<BoundPort>,
}

/// What became of a run while no agent looked.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundState {
    /// It runs.
    Running {
        /// Process 1.
        pid: u32,
        /// When it was executed.
        started_at: Timestamp,
        /// It is frozen.
        paused: bool,
    },
    /// It ended.
    Exited(Exit),
}

/// What a network is guarded and joined by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is the noun of the same name")]
pub enum NetworkPart {
    Firewall,
    Port,
    Router,
}

/// What happens on a node without anyone asking.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A run ended; its interfaces and ports are given back already.
    Exited(Id, Run, Exit),
    /// The kernel killed one of its processes for want of memory.
    OutOfMemory(Id),
    /// A health check's verdict or log changed.
    Health(Id, Health),
    /// The process that an instance is was sent this signal.
    Signal(Id, i32),
    /// An exec began or ended (with its exit status).
    Exec(Id, String, Option<i32>),
}

/// Instances on one host. Every method may be called twice, or again after a crash in the middle.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Makes the writable layer and the anonymous volumes of an instance; nothing runs.
    async fn create(&self, instance: &Instance) -> Result<(), Failure>;

    /// Starts a run with these addresses. Answers once the program is executed.
    ///
    /// `networks` holds every network that `endpoints` name. A failed start leaves nothing.
    async fn start(
        &self,
        instance: &Instance,
        run: Run,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Started, Failure>;

    /// Asks the process to stop, then kills it. Answers once it has ended; a stopped one is fine.
    async fn stop(&self, instance: &Instance, how: &StopRequest) -> Result<(), Failure>;

    /// Freezes or thaws its processes.
    async fn set_paused(&self, id: Id, paused: bool) -> Result<(), Failure>;

    /// Applies limits of the spec to a running instance, and mounts and unmounts its volumes.
    async fn update(&self, instance: &Instance) -> Result<(), Failure>;

    /// Adds an interface to a running instance.
    async fn connect(
        &self,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<(), Failure>;

    /// Takes an interface from a running instance, by the identity of its endpoint.
    async fn disconnect(&self, id: Id, endpoint: Id) -> Result<(), Failure>;

    /// Removes everything of an instance from the host; it must not run.
    async fn remove(&self, id: Id) -> Result<(), Failure>;

    /// Makes a network's bridge and rules, unless they exist.
    async fn ensure_network(&self, network: &Network) -> Result<(), Failure>;

    /// Removes a network's bridge and rules.
    async fn remove_network(&self, id: Id) -> Result<(), Failure>;

    /// Makes a firewall, or changes its rules; for every port at once.
    async fn set_firewall(&self, firewall: &Firewall) -> Result<(), Failure>;

    /// Says what a port may send and receive; where something is plugged in, at once. Has to be
    /// said before an instance that plugs into it starts.
    async fn set_guard(&self, guard: &Guard) -> Result<(), Failure>;

    /// Makes a router, or makes it what it is to be now.
    async fn set_router(&self, plan: &RouterPlan) -> Result<(), Failure>;

    /// Forgets a firewall, a port or a router; none is fine.
    async fn forget(&self, what: NetworkPart, id: Id) -> Result<(), Failure>;

    /// The firewalls, ports and routers that are known here.
    async fn network_parts(&self) -> Vec<(NetworkPart, Id)>;

    /// Makes a volume, unless it exists, as large as it is to be, and answers the path on the host
    /// of its directory.
    async fn ensure_volume(&self, volume: &Volume) -> Result<PathBuf, Failure>;

    /// Removes a volume with its contents.
    async fn remove_volume(&self, volume: &Volume) -> Result<(), Failure>;

    /// Keeps what a volume holds now, unless it is kept already.
    async fn ensure_snapshot(&self, snapshot: &Snapshot) -> Result<(), Failure>;

    /// Removes a snapshot; none is fine.
    async fn remove_snapshot(&self, id: Id) -> Result<(), Failure>;

    /// Everything there is, for an agent that has just started.
    async fn found(&self) -> Result<Vec<Found>, Failure>;

    /// Goes on with an instance's health checks from what an earlier daemon made of them. One that
    /// does not run, or has no checks, is left alone.
    async fn resume_health(&self, id: Id, known: &Health);

    /// What happens from now on.
    fn happenings(&self) -> broadcast::Receiver<Happening>;

    /// Sends a signal (name or number) to process 1.
    async fn signal(&self, id: Id, signal: &str) -> Result<(), Failure>;

    /// Streams of a running instance, or of one about to start. With a terminal all is `Stdout`.
    async fn attach(
        &self,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure>;

    /// Sets the terminal's size.
    async fn resize(&self, id: Id, size: TerminalSize) -> Result<(), Failure>;

    /// Prepares a process to run in a running instance and answers its identity (64 hex digits).
    async fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure>;

    /// Runs a prepared process. Without streams it runs on by itself.
    async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure>;

    /// Sets the size of an exec's terminal.
    async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure>;

    /// What is known of an exec, and whose it is.
    async fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure>;

    /// Execs of an instance that are prepared or run.
    async fn execs(&self, id: Id) -> Vec<String>;

    /// Lines of the log, in batches, in the order written.
    async fn logs(
        &self,
        id: Id,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<Result<Vec<LogLine>, Failure>>, Failure>;

    /// What it uses now.
    async fn stats(&self, id: Id) -> Result<Stats, Failure>;

    /// Its processes, by the host's `ps` with these arguments.
    async fn processes(&self, id: Id, ps_args: &[String]) -> Result<Processes, Failure>;

    /// What is at a path, seen from inside; also of a stopped instance.
    async fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure>;

    /// A tar archive of what is at a path.
    async fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure>;

    /// Extracts a tar archive (plain, gzip or zstd) into the directory at a path.
    async fn write_archive(
        &self,
        id: Id,
        path: &str,
        archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure>;

    /// How its root file system differs from its image.
    async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure>;

    /// A tar archive of its whole root file system, without mounts.
    async fn export(&self, id: Id) -> Result<Archive, Failure>;

    /// Its writable layer as a tar with whiteouts; a running instance is held still meanwhile, if
    /// `hold` says so.
    async fn layer(&self, id: Id, hold: bool) -> Result<Archive, Failure>;

    /// A tar archive of what a volume holds.
    async fn export_volume(&self, volume: &Volume) -> Result<Archive, Failure>;

    /// Bytes of the files in a volume.
    async fn volume_size(&self, volume: &Volume) -> Result<u64, Failure>;

    /// Bytes in its writable layer.
    async fn writable_size(&self, id: Id) -> Result<u64, Failure>;

    /// Paths of the host that front ends show.
    fn paths(&self, id: Id) -> HostPaths;
}

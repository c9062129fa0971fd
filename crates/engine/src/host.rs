//! The real [`Engine`]: instances as containers of this machine, over the keeper.
//!
//! A [`Host`] only holds what its parts need together; the work is in the files named after it:
//! [`crate::instance`] (making, starting, stopping, removing), [`crate::exec`], [`crate::volume`],
//! [`crate::health`], [`crate::adoption`] (taking over after a restart, and hearing of exits).
//! The binary opens one; the agent and the streams of the public APIs use it as an [`Engine`].

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use model::Id;
use model::container::TerminalSize;
use model::firewall::Firewall;
use model::instance::{Endpoint, Failure, Health, Instance, Run, StopRequest};
use model::network::Network;
use model::snapshot::Snapshot;
use model::stream::{
    Change, ExecSpec, ExecStatus, ExtractOptions, HostPaths, LogLine, LogOptions, PathStat,
    Processes, Stats,
};
use model::volume::Volume;
use runtime::keeper::Client;
use tokio::sync::{broadcast, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::directory::Directories;
use crate::drive::{self, Drives};
use crate::exec::Execs;
use crate::failure::{failure, internal};
use crate::health::Probes;
use crate::log::Logs;
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::network::{NetworkConfig, Networks};
use crate::run::Runs;
use crate::seccomp::Filters;
use crate::{
    Archive, Engine, Found, Guard, Happening, Input, NetworkPart, Output, RouterPlan, Started,
};

/// Happenings that a slow listener may lag behind.
const HAPPENINGS_KEPT: usize = 8192;

/// The cgroup that all daemons of a machine share; each has one of its own in it.
pub(crate) const CGROUP_OF_ALL: &str = "/longshore";

/// Where and with what a host works.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Everything is kept below this directory.
    pub data_dir: PathBuf,
    /// The program that becomes the keeper when it is run as `PROGRAM keeper --dir DIR`.
    pub keeper_program: PathBuf,
    /// What bridges, interfaces and firewall tables on the host are called by.
    pub bridge_prefix: String,
    /// Network namespaces held ready.
    pub network_pool: usize,
    /// The images that instances are made of.
    pub images: image::Store,
}

/// Why a host could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory is missing and cannot be made.
    #[error(transparent)]
    Directories(#[from] crate::directory::MakeError),
    /// The data directory cannot be looked at.
    #[error("look at {path}")]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel answered.
        source: std::io::Error,
    },
    /// No keeper answers.
    #[error("reach the keeper")]
    Keeper(#[from] runtime::keeper::EnsureError),
    /// The keeper does not tell what it keeps.
    #[error("ask the keeper what runs")]
    List(#[from] runtime::keeper::CallError),
    /// Networks cannot be taken over.
    #[error("take over the networks")]
    Networks(#[from] crate::network::OpenError),
}

/// Instances of this machine. Dropping it leaves them running.
#[derive(Debug)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
    listener: AbortOnDropHandle<()>,
}

/// What the parts share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) keeper_program: PathBuf,
    pub(crate) directories: Directories,
    pub(crate) images: image::Store,
    pub(crate) networks: Arc<Networks>,
    pub(crate) cgroup_parent: String,
    pub(crate) online_cpus: u32,
    pub(crate) runs: Runs,
    pub(crate) execs: Execs,
    pub(crate) probes: Probes,
    pub(crate) drives: Drives,
    pub(crate) filters: Filters,
    pub(crate) logs: Logs,
    pub(crate) metrics: Metrics,
    pub(crate) happenings: broadcast::Sender<Happening>,
    keeper: RwLock<Client>,
}

impl Inner {
    /// The connection to the keeper as it is now.
    pub(crate) fn keeper(&self) -> Client {
        self.keeper
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_keeper(&self, keeper: Client) {
        *self.keeper.write().unwrap_or_else(PoisonError::into_inner) = keeper;
    }

    /// Tells whoever listens.
    pub(crate) fn happened(&self, happening: Happening) {
        // Nobody may be listening.
        drop(self.happenings.send(happening));
    }
}

impl Host {
    /// Takes over what runs, or begins anew.
    ///
    /// # Errors
    /// When the data directory, the keeper or the networks cannot be had.
    pub async fn open(config: HostConfig) -> Result<Self, OpenError> {
        let directories = Directories::below(&config.data_dir);
        directories.make()?;
        let cgroup_parent = cgroup_parent(&config.data_dir)?;
        // Nothing starts without, but what is there can be looked at and removed.
        if let Err(error) = runtime::overlay::load() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "there are no overlay mounts: no container will start"
            );
        }
        let networks = Networks::open(NetworkConfig {
            data_dir: config.data_dir.clone(),
            bridge_prefix: config.bridge_prefix.clone(),
            pool_size: config.network_pool,
        });
        let keeper_directory = directories.keeper();
        let (keeper, networks) = tokio::join!(
            runtime::keeper::ensure(&config.keeper_program, &keeper_directory),
            networks
        );
        let keeper = keeper?;
        // Before the list, so that nothing is missed between the two.
        let events = keeper.events();
        let inner = Arc::new(Inner {
            keeper_program: config.keeper_program,
            directories,
            images: config.images,
            networks: networks?,
            cgroup_parent,
            online_cpus: std::thread::available_parallelism()
                .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
            runs: Runs::default(),
            execs: Execs::default(),
            probes: Probes::default(),
            drives: Drives::default(),
            filters: Filters::default(),
            logs: Logs::default(),
            metrics: Metrics::default(),
            happenings: broadcast::Sender::new(HAPPENINGS_KEPT),
            keeper: RwLock::new(keeper),
        });
        if let Err(error) = crate::disk::thaw_all(&inner.directories) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a volume may still be held up"
            );
        }
        crate::adoption::take_over(&inner).await?;
        let listener = tokio::spawn(crate::adoption::listen(Arc::clone(&inner), events));
        Ok(Self {
            inner,
            listener: AbortOnDropHandle::new(listener),
        })
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.metrics.snapshot(self.inner.runs.count_running())
    }

    /// Whether the keeper answers; without one nothing can be started.
    #[must_use]
    pub fn has_keeper(&self) -> bool {
        !self.inner.keeper().is_lost()
    }

    /// The networks of this host.
    #[must_use]
    pub fn networks(&self) -> &Arc<Networks> {
        &self.inner.networks
    }

    /// Instances whose configuration drives are to be written, for whoever can say what is on them;
    /// `None` the second time.
    #[must_use]
    pub fn drives(&self) -> Option<mpsc::Receiver<drive::Asked>> {
        self.inner.drives.questions()
    }

    /// Makes a keeper of another build go on as [ours](HostConfig::keeper_program), in place. One
    /// that cannot goes on as it is.
    pub async fn renew_keeper(&self) {
        let keeper = self.inner.keeper();
        let (before, after) = (&keeper.hello().build, runtime::keeper::build());
        if *before == after {
            return;
        }
        match keeper.upgrade(&self.inner.keeper_program).await {
            Ok(()) => tracing::info!(before, after, "the keeper goes on as another build"),
            Err(error) => tracing::error!(
                before,
                after,
                error = &error as &dyn std::error::Error,
                "the keeper is of another build, and goes on as that"
            ),
        }
    }

    /// Kills every instance, ends the keeper and takes every network from the host.
    ///
    /// # Errors
    /// When the keeper or the networks do not let go.
    pub async fn shut_down(self) -> Result<(), Failure> {
        // It would take the keeper's end for an accident and make another one.
        self.listener.abort();
        self.inner
            .keeper()
            .shutdown()
            .await
            .map_err(|error| internal(&error))?;
        crate::sweep::sweep_all(&self.inner);
        if let Err(error) = crate::disk::thaw_all(&self.inner.directories) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a volume is left held up"
            );
        }
        self.inner
            .networks
            .shutdown()
            .await
            .map_err(|error| failure(error.kind(), &error))
    }
}

/// Unique for each data directory of a machine, and the same after every restart.
fn cgroup_parent(data_dir: &Path) -> Result<String, OpenError> {
    let metadata = std::fs::metadata(data_dir).map_err(|source| OpenError::DataDirectory {
        path: data_dir.to_owned(),
        source,
    })?;
    Ok(format!(
        "{CGROUP_OF_ALL}/{:x}-{:x}",
        metadata.dev(),
        metadata.ino()
    ))
}

#[async_trait]
impl Engine for Host {
    async fn create(&self, instance: &Instance) -> Result<(), Failure> {
        self.inner.create(instance).await
    }

    async fn start(
        &self,
        instance: &Instance,
        run: Run,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Started, Failure> {
        self.inner.start(instance, run, endpoints, networks).await
    }

    async fn stop(&self, instance: &Instance, how: &StopRequest) -> Result<(), Failure> {
        self.inner.stop(instance, how).await
    }

    async fn set_paused(&self, id: Id, paused: bool) -> Result<(), Failure> {
        self.inner.set_paused(id, paused)
    }

    async fn update(&self, instance: &Instance) -> Result<(), Failure> {
        self.inner.update(instance).await
    }

    async fn connect(
        &self,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<(), Failure> {
        self.inner.connect(instance, endpoint, network).await
    }

    async fn disconnect(&self, id: Id, endpoint: Id) -> Result<(), Failure> {
        self.inner.disconnect(id, endpoint).await
    }

    async fn remove(&self, id: Id) -> Result<(), Failure> {
        self.inner.remove(id).await
    }

    async fn ensure_network(&self, network: &Network) -> Result<(), Failure> {
        self.inner
            .networks
            .ensure(network)
            .await
            .map_err(|error| failure(error.kind(), &error))
    }

    async fn remove_network(&self, id: Id) -> Result<(), Failure> {
        self.inner
            .networks
            .remove(id)
            .await
            .map_err(|error| failure(error.kind(), &error))
    }

    async fn set_firewall(&self, firewall: &Firewall) -> Result<(), Failure> {
        let set = self.inner.networks.set_firewall(firewall).await;
        set.map_err(|error| failure(error.kind(), &error))
    }

    async fn set_guard(&self, guard: &Guard) -> Result<(), Failure> {
        let set = self.inner.networks.guard(guard).await;
        set.map_err(|error| failure(error.kind(), &error))
    }

    async fn set_router(&self, plan: &RouterPlan) -> Result<(), Failure> {
        let set = self.inner.networks.set_router(plan).await;
        set.map_err(|error| failure(error.kind(), &error))
    }

    async fn forget(&self, what: NetworkPart, id: Id) -> Result<(), Failure> {
        let networks = &self.inner.networks;
        let forgotten = match what {
            NetworkPart::Firewall => networks.remove_firewall(id).await,
            NetworkPart::Port => networks.unguard(id).await,
            NetworkPart::Router => networks.remove_router(id).await,
        };
        forgotten.map_err(|error| failure(error.kind(), &error))
    }

    async fn network_parts(&self) -> Vec<(NetworkPart, Id)> {
        self.inner.networks.parts()
    }

    async fn ensure_volume(&self, volume: &Volume) -> Result<PathBuf, Failure> {
        self.inner.ensure_volume(volume).await
    }

    async fn remove_volume(&self, volume: &Volume) -> Result<(), Failure> {
        self.inner.remove_volume(volume).await
    }

    async fn ensure_snapshot(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        self.inner.ensure_snapshot(snapshot).await
    }

    async fn remove_snapshot(&self, id: Id) -> Result<(), Failure> {
        self.inner.remove_disk(id).await
    }

    async fn found(&self) -> Result<Vec<Found>, Failure> {
        Ok(self.inner.found().await)
    }

    async fn resume_health(&self, id: Id, known: &Health) {
        self.inner.resume_health(id, known.clone());
    }

    fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.inner.happenings.subscribe()
    }

    async fn signal(&self, id: Id, signal: &str) -> Result<(), Failure> {
        self.inner.signal(id, signal).await
    }

    async fn attach(
        &self,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.inner.attach(id, stdin, output).await
    }

    async fn resize(&self, id: Id, size: TerminalSize) -> Result<(), Failure> {
        self.inner.resize(id, size).await
    }

    async fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure> {
        self.inner.exec_create(id, spec)
    }

    async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.inner.exec_start(exec, detach, size).await
    }

    async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure> {
        self.inner.exec_resize(exec, size).await
    }

    async fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure> {
        self.inner.execs.status(exec)
    }

    async fn execs(&self, id: Id) -> Vec<String> {
        self.inner.execs.of(id)
    }

    async fn logs(
        &self,
        id: Id,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<Result<Vec<LogLine>, Failure>>, Failure> {
        Ok(self.inner.read_log(id, options))
    }

    async fn stats(&self, id: Id) -> Result<Stats, Failure> {
        self.inner.stats(id).await
    }

    async fn processes(&self, id: Id, ps_args: &[String]) -> Result<Processes, Failure> {
        self.inner.processes(id, ps_args).await
    }

    async fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure> {
        let _turn = self.inner.turn_unless_running(id).await;
        crate::archive::stat(self.inner.view(id)?, path).await
    }

    async fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure> {
        let turn = self.inner.turn_unless_running(id).await;
        let view = self.inner.view(id)?;
        drop(turn);
        crate::archive::read(view, path).await
    }

    async fn write_archive(
        &self,
        id: Id,
        path: &str,
        archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure> {
        let _turn = self.inner.turn_unless_running(id).await;
        crate::archive::write(self.inner.view(id)?, path, archive, options).await
    }

    async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure> {
        self.inner.changes(id).await
    }

    async fn export(&self, id: Id) -> Result<Archive, Failure> {
        let origin = self.inner.origin(id)?;
        let (root, first_id) = self.inner.bare_root(id, &origin)?;
        crate::archive::export(root, first_id, ())
    }

    async fn layer(&self, id: Id, hold: bool) -> Result<Archive, Failure> {
        let host = Arc::clone(&self.inner);
        crate::instance::on_thread(move || host.layer(id, hold)).await
    }

    async fn export_volume(&self, volume: &Volume) -> Result<Archive, Failure> {
        let root = self.inner.volume_root(volume).await?;
        crate::archive::export(root, 0, ())
    }

    async fn volume_size(&self, volume: &Volume) -> Result<u64, Failure> {
        if volume.spec.size_gib.is_some() {
            return self.inner.disk_usage(volume.meta.id);
        }
        let path = self.ensure_volume(volume).await?;
        crate::instance::on_thread(move || crate::changes::size(&path)).await
    }

    async fn writable_size(&self, id: Id) -> Result<u64, Failure> {
        self.inner.writable_size(id).await
    }

    fn paths(&self, id: Id) -> HostPaths {
        self.inner.host_paths(id)
    }
}

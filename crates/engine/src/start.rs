//! Starts a run of an instance: finds out what its specification needs to know of this host, gets
//! it a place in its networks, and has the keeper execute it.
//!
//! Everything here is on the path of `docker run`, so it makes few system calls, starts no process
//! but the instance's own, and what can be known before is cached.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use model::Id;
use model::container::{ContainerSpec, Propagation};
use model::instance::{Endpoint, Failure, FailureKind, Instance, NamespaceMode, NetworkMode, Run};
use model::network::Network;
use runtime::cgroup::Cgroup;
use runtime::disk::Disk;
use runtime::launch::{Launch, Rootfs, StartError, StartErrorKind};

use crate::Started;
use crate::directory::InstanceDirectory;
use crate::failure::{failure, internal, refused};
use crate::host::Inner;
use crate::instance::{container, unmount_shared_memory};
use crate::metrics::Metrics;
use crate::network::{NetworkError, Sandbox};
use crate::run::{Live, Note};
use crate::spec::{self, Joined, Surroundings, capability, mount};

/// An instance has no place in its networks; clients look for these words of dockerd's.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up container networking")]
struct NoNetworking(#[source] NetworkError);

/// A start whose specification is complete.
struct Prepared {
    launch: Launch,
    note: Note,
    /// Held until the container has mounted them.
    _disks: Vec<Disk>,
}

impl Inner {
    /// Starts a run. A failure leaves nothing.
    pub(crate) async fn start(
        self: &Arc<Self>,
        instance: &Instance,
        run: Run,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Started, Failure> {
        let id = instance.meta.id;
        let _turn = self.runs.turn(id).await;
        if let Some(live) = self.runs.running(id) {
            return self.started_already(&live, run).await;
        }
        if let Some(old) = self.runs.get(id) {
            self.forget(&old).await?;
        }
        self.settle(id).await?;
        self.forget_execs(id).await;
        let began = Instant::now();
        let outcome = self.start_in_turn(instance, run, endpoints, networks).await;
        match &outcome {
            Ok(_) => {
                self.metrics.phase("total", began.elapsed());
                Metrics::count(&self.metrics.starts);
                self.drop_kept_exit(id);
            }
            Err(_) => Metrics::count(&self.metrics.failed_starts),
        }
        outcome
    }

    async fn start_in_turn(
        self: &Arc<Self>,
        instance: &Instance,
        run: Run,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Started, Failure> {
        let began = Instant::now();
        let container = container(instance)?;
        let directory = self.directories.instance(instance.meta.id);
        if instance.spec.renewals > 0 {
            self.renew(instance, container).await?;
        }
        if has_drive(instance) {
            let path = directory.drive();
            let made = self.drives.make(instance.meta.id, &path);
            made.await.map_err(|error| internal(&error))?;
        }
        let prepared = self.prepare(instance, container, run, &directory)?;
        // Volumes may have come and gone while it did not run; what changes from now on is told apart
        // by this record.
        if self.origin(instance.meta.id)?.mounts != container.mounts {
            self.update_origin(instance, container)?;
        }
        self.metrics.phase("prepare", began.elapsed());
        let began = Instant::now();
        let undo = Undo {
            host: self,
            id: instance.meta.id,
            note: &prepared.note,
        };
        let sandbox = match self
            .join_networks(instance, endpoints, networks, &directory)
            .await
        {
            Ok(sandbox) => sandbox,
            Err(error) => {
                undo.run().await;
                return Err(error);
            }
        };
        self.metrics.phase("network", began.elapsed());
        match self
            .execute(
                instance.meta.id,
                &prepared,
                sandbox.as_ref().map(|sandbox| &sandbox.netns),
            )
            .await
        {
            Ok(live) => {
                let (endpoints, ports) = sandbox
                    .map(|sandbox| (sandbox.endpoints, sandbox.ports))
                    .unwrap_or_default();
                let (pid, at) = live.started().unwrap_or_default();
                self.watch_health(&live);
                self.pack_log(&live);
                Ok(Started {
                    pid,
                    at,
                    endpoints,
                    ports,
                })
            }
            Err(error) => {
                undo.run().await;
                Err(start_failure(&error))
            }
        }
    }

    /// Asks the keeper, with the run on our books before it can be heard of.
    async fn execute(
        &self,
        id: Id,
        prepared: &Prepared,
        netns: Option<&OwnedFd>,
    ) -> Result<Arc<Live>, StartError> {
        let began = Instant::now();
        let live = Arc::new(Live::new(id, prepared.note.clone()));
        self.runs.put(&live);
        let keeper = self.keeper();
        match keeper.start(&prepared.launch, netns.map(AsFd::as_fd)).await {
            Ok(spawned) => {
                self.metrics.phase("keeper", began.elapsed());
                let mut before = None;
                for phase in &spawned.phases {
                    if let Some(before) = before {
                        let took =
                            std::time::Duration::from_nanos(phase.at_ns.saturating_sub(before));
                        self.metrics.phase(&phase.name, took);
                    }
                    before = Some(phase.at_ns);
                }
                live.set_started(spawned.pid, spawned.started_at);
                Ok(live)
            }
            Err(error) => {
                self.runs.take(&live);
                if keeper.is_lost() {
                    self.runs.put_unheard(id);
                }
                live.set_failed();
                Err(error)
            }
        }
    }

    async fn started_already(&self, live: &Live, run: Run) -> Result<Started, Failure> {
        let Some((pid, at)) = live.started().filter(|_| live.note.run == run) else {
            let words = format!(
                "instance {} runs already, as another run than the one asked for",
                live.id.simple()
            );
            return Err(refused(FailureKind::Conflict, words));
        };
        let sandbox = self
            .networks
            .sandbox(live.id)
            .await
            .map_err(|error| failure(error.kind(), &error))?;
        let (endpoints, ports) = sandbox
            .map(|sandbox| (sandbox.endpoints, sandbox.ports))
            .unwrap_or_default();
        Ok(Started {
            pid,
            at,
            endpoints,
            ports,
        })
    }

    /// Everything that is decided before anything is made.
    fn prepare(
        &self,
        instance: &Instance,
        container: &ContainerSpec,
        run: Run,
        directory: &InstanceDirectory,
    ) -> Result<Prepared, Failure> {
        let mut mounts = self.mounts(instance.meta.project, &container.mounts)?;
        if has_drive(instance) {
            mounts.push(drive(directory));
        }
        let disks = open_disks(&mut mounts).map_err(|error| internal(&error))?;
        let rootfs = match mounts.iter().position(mount::Wanted::is_root) {
            Some(at) => device(mounts.remove(at))?,
            None => Rootfs::Overlay {
                lower: self.lower(&container.image_id)?,
                upper: directory.upper(),
                work: directory.work(),
            },
        };
        let mut joined = self.joined(instance)?;
        let cgroups_path = self.cgroups_path(instance.meta.id, &instance.spec.cgroup_parent)?;
        let mut note = Note::new(instance, container, run, cgroups_path.clone());
        note.has_sandbox = matches!(
            instance.spec.network,
            NetworkMode::Attached | NetworkMode::None
        );
        note.shares_memory = instance.spec.namespaces.ipc == NamespaceMode::Shareable;
        if note.shares_memory {
            joined.shared_memory = Some(directory.shared_memory());
        }
        let env = read_env(container)?;
        let files = match instance.spec.network {
            NetworkMode::Instance(other) => self.directories.instance(other),
            _ => directory.clone(),
        };
        let surroundings = Surroundings {
            directory,
            identity_files: &files,
            rootfs,
            cgroups_path,
            online_cpus: self.online_cpus,
            env: &env,
            mounts: &mounts,
            joined: &joined,
            seccomp: self.filter(container)?,
        };
        let launch = spec::launch(instance, container, surroundings, note.to_value());
        // Whatever a specification is refused for, the request is at fault.
        let launch = launch.map_err(|error| failure(FailureKind::Invalid, &error))?;
        if note.shares_memory {
            share_memory(directory, container).map_err(|error| internal(&error))?;
        }
        Ok(Prepared {
            launch,
            note,
            _disks: disks,
        })
    }

    /// The compiled system call filter of a container.
    fn filter(&self, container: &ContainerSpec) -> Result<Vec<u8>, Failure> {
        let invalid =
            |error: &(dyn std::error::Error + 'static)| failure(FailureKind::Invalid, error);
        let granted = capability::granted(&container.security).map_err(|error| invalid(&error))?;
        self.filters
            .get(spec::effective_seccomp(&container.security), &granted)
            .map_err(|error| invalid(&error))
    }

    /// Process 1 of the instances whose namespaces are shared.
    fn joined(&self, instance: &Instance) -> Result<Joined, Failure> {
        let pid_of = |id: Id, kind, words: fn(String) -> String| {
            self.runs
                .get(id)
                .and_then(|live| live.pid())
                .ok_or_else(|| refused(kind, words(id.simple())))
        };
        let mut joined = Joined::default();
        if let NetworkMode::Instance(other) = instance.spec.network {
            joined.network = Some(pid_of(other, FailureKind::Conflict, |id| {
                format!("cannot join network of a non running container: {id}")
            })?);
        }
        if let NamespaceMode::Instance(other) = instance.spec.namespaces.pid {
            joined.pid = Some(pid_of(other, FailureKind::Internal, |id| {
                format!("failed to join PID namespace: container {id} is not running")
            })?);
        }
        if let NamespaceMode::Instance(other) = instance.spec.namespaces.ipc {
            joined.ipc = Some(pid_of(other, FailureKind::Internal, |id| {
                format!("failed to join IPC namespace: container {id} is not running")
            })?);
            let shared = self
                .runs
                .get(other)
                .is_some_and(|live| live.note.shares_memory);
            if !shared {
                let words = format!(
                    "cannot join IPC namespace of container {}: it is not shareable",
                    other.simple()
                );
                return Err(refused(FailureKind::Invalid, words));
            }
            joined.shared_memory = Some(self.directories.instance(other).shared_memory());
        }
        Ok(joined)
    }

    /// Where the cgroup of an instance is; `wanted` is its specification's parent, if any.
    pub(crate) fn cgroups_path(&self, id: Id, wanted: &str) -> Result<String, Failure> {
        let id = id.simple();
        if wanted.is_empty() {
            return Ok(format!("{}/{id}", self.cgroup_parent));
        }
        let parent = rooted::normalized(Path::new(wanted));
        match parent.to_str() {
            Some(parent) if !parent.is_empty() => Ok(format!("/{parent}/{id}")),
            _ => Err(refused(
                FailureKind::Invalid,
                format!("cgroup parent {wanted:?} is not a path of a cgroup"),
            )),
        }
    }

    /// A network namespace where the instance has one of its own, and the files that name hosts.
    async fn join_networks(
        &self,
        instance: &Instance,
        endpoints: &[Endpoint],
        networks: &[Network],
        directory: &InstanceDirectory,
    ) -> Result<Option<Sandbox>, Failure> {
        let attached = match instance.spec.network {
            NetworkMode::Attached => endpoints,
            NetworkMode::None => &[],
            NetworkMode::Host => {
                let files = self.networks.host_files(instance);
                write_identity(directory, instance, &files.resolv_conf, &files.hosts)?;
                return Ok(None);
            }
            // The other's files are shared as they are.
            NetworkMode::Instance(_) => return Ok(None),
        };
        let sandbox = self.networks.attach(instance, attached, networks).await;
        let sandbox = sandbox.map_err(|error| failure(error.kind(), &NoNetworking(error)))?;
        write_identity(directory, instance, &sandbox.resolv_conf, &sandbox.hosts)?;
        Ok(Some(sandbox))
    }
}

/// What the files of [`ContainerSpec::env_files`] say, as `NAME=value`.
fn read_env(container: &ContainerSpec) -> Result<Vec<String>, Failure> {
    let read = |(name, path): (&String, &String)| {
        let value = fs::read_to_string(path).map_err(|error| {
            let words = format!("the value of the variable {name} cannot be read: {error}");
            refused(FailureKind::Invalid, words)
        })?;
        Ok(format!("{name}={value}"))
    };
    container.env_files.iter().map(read).collect()
}

/// Whether an instance finds what it is told on a drive, too.
fn has_drive(instance: &Instance) -> bool {
    let guest = instance.spec.guest.as_ref();
    guest.is_some_and(|guest| guest.config_drive)
}

/// The mount of an instance's configuration drive.
fn drive(directory: &InstanceDirectory) -> mount::Wanted {
    mount::Wanted {
        target: crate::drive::TARGET.to_owned(),
        what: mount::What::Path {
            path: directory.drive(),
            propagation: Propagation::Rprivate,
            non_recursive: false,
            read_only_non_recursive: false,
        },
        read_only: true,
    }
}

/// Gives disks their devices, which the container's process mounts. What it answers keeps them.
fn open_disks(mounts: &mut [mount::Wanted]) -> Result<Vec<Disk>, runtime::disk::DiskError> {
    let mut disks = Vec::new();
    for wanted in mounts {
        let mount::What::Disk { image } = &wanted.what else {
            continue;
        };
        let disk = Disk::open(image)?;
        let mut options = runtime::disk::OPTIONS.map(str::to_owned).to_vec();
        // Has an effect only where the container has users of its own.
        options.push("idmap".to_owned());
        wanted.what = mount::What::FileSystem {
            kind: runtime::disk::KIND.to_owned(),
            device: disk.path().display().to_string(),
            options,
        };
        disks.push(disk);
    }
    Ok(disks)
}

/// The root file system that a volume is.
fn device(root: mount::Wanted) -> Result<Rootfs, Failure> {
    match root.what {
        mount::What::FileSystem {
            kind,
            device,
            options,
        } => Ok(Rootfs::Device {
            kind,
            device: device.into(),
            options,
        }),
        mount::What::Path { .. }
        | mount::What::Disk { .. }
        | mount::What::Image { .. }
        | mount::What::Tmpfs { .. } => Err(refused(
            FailureKind::Invalid,
            "the root file system is an image, or a volume with a size",
        )),
    }
}

/// Takes back what a start that failed has made.
struct Undo<'a> {
    host: &'a Inner,
    id: Id,
    note: &'a Note,
}

impl Undo<'_> {
    async fn run(&self) {
        if self.note.has_sandbox {
            self.host.networks.detach(self.id).await;
        }
        self.host.release(self.id, self.note);
    }
}

impl Inner {
    /// Gives back the cgroup and the shared memory of a run that is over.
    pub(crate) fn release(&self, id: Id, note: &Note) {
        let removed = Cgroup::at(&note.cgroups_path).and_then(|cgroup| cgroup.remove());
        if let Err(error) = removed {
            tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "cgroup is left over");
        }
        if note.shares_memory
            && let Err(error) = unmount_shared_memory(&self.directories.instance(id))
        {
            tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "shared memory is left over");
        }
    }
}

/// `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, written in place, because a running
/// container has these very files mounted.
fn write_identity(
    directory: &InstanceDirectory,
    instance: &Instance,
    resolv_conf: &str,
    hosts: &str,
) -> Result<(), Failure> {
    let hostname = format!("{}\n", instance.spec.hostname);
    write_file(directory.hostname(), &hostname)?;
    write_file(directory.resolv_conf(), resolv_conf)?;
    write_file(directory.hosts(), hosts)
}

/// Writes one of the files that are mounted in a container.
pub(crate) fn write_file(path: PathBuf, text: &str) -> Result<(), Failure> {
    fs::write(&path, text).map_err(|source| {
        internal(&crate::instance::FilesError::File {
            attempt: "write",
            path,
            source,
        })
    })
}

/// A tmpfs that other instances can mount, too. The only mount on the host that an instance ever
/// needs, and only with a shareable namespace for inter-process communication.
fn share_memory(
    directory: &InstanceDirectory,
    container: &ContainerSpec,
) -> Result<(), crate::instance::FilesError> {
    unmount_shared_memory(directory)?;
    let path = directory.shared_memory();
    let failed = |source| crate::instance::FilesError::File {
        attempt: "mount memory at",
        path: path.clone(),
        source,
    };
    match fs::create_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        answer => answer.map_err(failed)?,
    }
    use rustix::mount::MountFlags;
    let size = container.shm_size_bytes.unwrap_or(mount::DEFAULT_SHM_BYTES);
    let options = std::ffi::CString::new(format!("mode=1777,size={size}"))
        .map_err(|error| failed(error.into()))?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    rustix::mount::mount("shm", &path, "tmpfs", flags, options.as_c_str())
        .map_err(|errno| failed(errno.into()))
}

/// Why the keeper could not start a process, as a failure.
pub(crate) fn start_failure(error: &StartError) -> Failure {
    let kind = match error.kind {
        StartErrorKind::CommandNotFound => FailureKind::CommandNotFound,
        StartErrorKind::CommandNotExecutable => FailureKind::CommandNotExecutable,
        StartErrorKind::Invalid => FailureKind::Invalid,
        StartErrorKind::Internal => FailureKind::Internal,
    };
    failure(kind, error)
}

//! What an instance is on this host while it does not run: its directory with the writable layer,
//! its volumes, and a record of what it was made from.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::container::{ContainerSpec, Mount};
use model::instance::{Exit, Failure, FailureKind, Instance, Run};
use model::security::UserNamespace;
use model::stream::HostPaths;
use model::{Id, ProjectId};
use rooted::{Root, RootedError};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::archive::{MountPoint, View};
use crate::directory::InstanceDirectory;
use crate::failure::{failure, internal, refused};
use crate::host::Inner;
use crate::root::Layers;
use crate::spec::mount::Wanted;
use crate::volume;

/// What an instance was made from, for looking into it when it does not run.
const ORIGIN: &str = "origin.json";
/// How its last run ended, once the keeper no longer knows.
const LAST_EXIT: &str = "exit.json";

/// What an instance was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// What users call it; kept up to date.
    pub(crate) name: String,
    /// The image's identity.
    pub(crate) image_id: String,
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// What is mounted in it when it runs.
    pub(crate) mounts: Vec<Mount>,
    /// Whom its process runs as.
    #[serde(default)]
    pub(crate) user: String,
    /// Its process has a standard input.
    pub(crate) open_stdin: bool,
    /// Its root file system cannot be written from inside.
    pub(crate) read_only_root: bool,
    /// As [`model::instance::InstanceSpec::cgroup_parent`].
    #[serde(default)]
    pub(crate) cgroup_parent: String,
    /// As [`model::instance::InstanceSpec::renewals`].
    #[serde(default)]
    pub(crate) renewals: u64,
}

impl Origin {
    fn of(instance: &Instance, container: &ContainerSpec) -> Self {
        Self {
            name: instance.meta.name.clone(),
            image_id: container.image_id.clone(),
            project: instance.meta.project,
            mounts: container.mounts.clone(),
            user: container.user.clone(),
            open_stdin: container.open_stdin,
            read_only_root: container.read_only_root,
            cgroup_parent: instance.spec.cgroup_parent.clone(),
            renewals: instance.spec.renewals,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastExit {
    pub(crate) run: Run,
    pub(crate) exit: Exit,
}

/// Why an instance's files could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("{attempt} {path}")]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("read {path}")]
    Malformed {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("remove the files of instance {id}")]
    Remove { id: Id, source: RootedError },
}

/// Runs something slow, such as copying a tree, where it holds up nobody.
pub(crate) async fn on_thread<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(act)
        .await
        .unwrap_or_else(|error| Err(internal(&error)))
}

/// The container of an instance.
pub(crate) fn container(instance: &Instance) -> Result<&ContainerSpec, Failure> {
    match instance.spec.containers.as_slice() {
        [container] => Ok(container),
        others => Err(refused(
            FailureKind::Invalid,
            format!(
                "containers: this node runs exactly one in an instance, not {}",
                others.len()
            ),
        )),
    }
}

impl Inner {
    /// Makes the directory, the writable layer and the volumes.
    pub(crate) async fn create(self: &Arc<Self>, instance: &Instance) -> Result<(), Failure> {
        let _turn = self.runs.turn(instance.meta.id).await;
        let container = container(instance)?;
        let lower = self.lower(&container.image_id)?;
        let directory = self.directories.instance(instance.meta.id);
        let is_new = !directory.root().exists();
        let made = self.make(instance, container, &directory, lower).await;
        if made.is_err() && is_new {
            let (id, directory) = (instance.meta.id, directory);
            // The first failure is the one to tell of.
            drop(
                on_thread(move || remove_files(id, &directory).map_err(|error| internal(&error)))
                    .await,
            );
        }
        made
    }

    async fn make(
        &self,
        instance: &Instance,
        container: &ContainerSpec,
        directory: &InstanceDirectory,
        lower: Vec<PathBuf>,
    ) -> Result<(), Failure> {
        make_files(directory, lower.first().map(PathBuf::as_path))
            .map_err(|error| internal(&error))?;
        let origin = Origin::of(instance, container);
        write_record(directory, ORIGIN, &origin).map_err(|error| internal(&error))?;
        if container.mounts.is_empty() {
            return Ok(());
        }
        let (directories, images) = (self.directories.clone(), self.images.clone());
        on_thread(move || {
            volume::resolve(&directories, &images, origin.project, &origin.mounts)
                .map_err(|error| error.into_failure())?;
            let image = || match origin.mounts.iter().find(|mount| mount.is_root()) {
                Some(root) => Ok(volume::mounted(&directories, origin.project, root)?),
                None => Ok(crate::root::of_layers(&Layers {
                    lower,
                    writable: None,
                })?),
            };
            volume::copy_up(&directories, origin.project, &origin.mounts, image)
                .map_err(|error| error.into_failure())
        })
        .await
    }

    /// Empties the writable layer of an instance that was made anew since its last start.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        instance: &Instance,
        container: &ContainerSpec,
    ) -> Result<(), Failure> {
        let id = instance.meta.id;
        if self.origin(id)?.renewals == instance.spec.renewals {
            return Ok(());
        }
        let directory = self.directories.instance(id);
        let emptied = directory.clone();
        on_thread(move || remove_layer(id, &emptied).map_err(|error| internal(&error))).await?;
        let lower = self.lower(&container.image_id)?;
        self.make(instance, container, &directory, lower).await
    }

    /// Removes everything of an instance that does not run. What is gone already is fine.
    pub(crate) async fn remove(self: &Arc<Self>, id: Id) -> Result<(), Failure> {
        let turn = self.runs.turn(id).await;
        if self.runs.running(id).is_some() {
            return Err(refused(
                FailureKind::Conflict,
                format!("instance {} runs; stop it first", id.simple()),
            ));
        }
        if let Some(live) = self.runs.get(id) {
            self.forget(&live).await?;
            self.runs.take(&live);
        }
        self.forget_execs(id).await;
        self.networks.detach(id).await;
        let directory = self.directories.instance(id);
        on_thread(move || remove_files(id, &directory).map_err(|error| internal(&error))).await?;
        drop(turn);
        self.runs.drop_turn(id);
        Ok(())
    }

    /// What an instance's mounts are on this node; as [`volume::resolve`].
    pub(crate) fn mounts(
        &self,
        project: ProjectId,
        mounts: &[Mount],
    ) -> Result<Vec<Wanted>, Failure> {
        volume::resolve(&self.directories, &self.images, project, mounts)
            .map_err(|error| error.into_failure())
    }

    /// Read-only layers of an instance's root, the topmost first; of one whose root is a volume only
    /// that which is below every image.
    pub(crate) fn lower(&self, image_id: &str) -> Result<Vec<PathBuf>, Failure> {
        match image_id {
            "" => Ok(vec![self.directories.base()]),
            image_id => volume::layers(&self.directories, &self.images, image_id)
                .map_err(|error| failure(FailureKind::NotFound, &error)),
        }
    }

    /// Notes down what may have changed of what an instance was made from: its name.
    pub(crate) fn update_origin(
        &self,
        instance: &Instance,
        container: &ContainerSpec,
    ) -> Result<(), Failure> {
        let directory = self.directories.instance(instance.meta.id);
        write_record(&directory, ORIGIN, &Origin::of(instance, container))
            .map_err(|error| internal(&error))
    }

    /// What an instance was made from.
    pub(crate) fn origin(&self, id: Id) -> Result<Origin, Failure> {
        let record = read_record(&self.directories.instance(id), ORIGIN)
            .map_err(|error| internal(&error))?;
        record.ok_or_else(|| {
            refused(
                FailureKind::NotFound,
                format!("No such container: {}", id.simple()),
            )
        })
    }

    /// The turn of an instance that does not run, so that it is not started while something is
    /// written below its layers; none where a process has them.
    pub(crate) async fn turn_unless_running(&self, id: Id) -> Option<OwnedMutexGuard<()>> {
        if self.runs.running(id).is_some() {
            return None;
        }
        Some(self.runs.turn(id).await)
    }

    /// An instance's root as it is copied to and from: of a running one with its mounts, of another
    /// one with its volumes.
    pub(crate) fn view(&self, id: Id) -> Result<View, Failure> {
        let origin = self.origin(id)?;
        let (root, first_id) = self.bare_root(id, &origin)?;
        if self.runs.running(id).is_none() {
            let mut mounts = self.mounts(origin.project, &origin.mounts)?;
            mounts.retain(|mount| !mount.is_root());
            crate::root::attach(&root, &mounts).map_err(|error| internal(&error))?;
        }
        let mount_point = |mount: &Mount| MountPoint {
            target: PathBuf::from(&mount.target),
            is_read_only: mount.read_only,
        };
        Ok(View {
            root,
            first_id,
            mounts: origin
                .mounts
                .iter()
                .filter(|mount| !mount.is_root())
                .map(mount_point)
                .collect(),
            is_read_only: origin.read_only_root,
            name: origin.name,
            user: origin.user,
        })
    }

    /// The root file system of an instance, seen from outside: of a running one through its
    /// process, of another one without any mount. Beside it what its root's id is there: through a
    /// process ids are seen as they are on the node, on the disk as they are inside.
    pub(crate) fn bare_root(&self, id: Id, origin: &Origin) -> Result<(Root, u32), Failure> {
        let live = self.runs.get(id);
        let process = live.as_ref().and_then(|live| Some((live, live.pid()?)));
        if let Some((live, pid)) = process {
            let first = match live.note.security.user_namespace {
                UserNamespace::Host => 0,
                UserNamespace::Range { first, .. } => first,
            };
            let root = crate::root::of_process(pid).map_err(|error| internal(&error))?;
            return Ok((root, first));
        }
        if let Some(root) = self.volume_below(origin)? {
            return Ok((root, 0));
        }
        let root = crate::root::of_layers(&self.layers(id, origin)?);
        root.map(|root| (root, 0)).map_err(|error| internal(&error))
    }

    /// The volume that is the root of an instance, without any mount; `None` where that is an image.
    pub(crate) fn volume_below(&self, origin: &Origin) -> Result<Option<Root>, Failure> {
        let Some(mount) = origin.mounts.iter().find(|mount| mount.is_root()) else {
            return Ok(None);
        };
        let root = volume::mounted(&self.directories, origin.project, mount);
        root.map(Some).map_err(|error| error.into_failure())
    }

    /// What the root file system of an instance is made of.
    pub(crate) fn layers(&self, id: Id, origin: &Origin) -> Result<Layers, Failure> {
        let directory = self.directories.instance(id);
        Ok(Layers {
            lower: self.lower(&origin.image_id)?,
            writable: Some((directory.upper(), directory.work())),
        })
    }

    /// Paths of the host that front ends show.
    pub(crate) fn host_paths(&self, id: Id) -> HostPaths {
        let directory = self.directories.instance(id);
        HostPaths {
            log: Some(directory.log())
                .filter(|log| log.exists())
                .unwrap_or_default(),
            upper: directory.upper(),
            resolv_conf: directory.resolv_conf(),
            hostname: directory.hostname(),
            hosts: directory.hosts(),
        }
    }

    /// Remembers how a run ended in the place of the keeper.
    pub(crate) fn keep_exit(&self, id: Id, run: Run, exit: &Exit) -> Result<(), FilesError> {
        write_record(
            &self.directories.instance(id),
            LAST_EXIT,
            &LastExit {
                run,
                exit: exit.clone(),
            },
        )
    }

    /// How the last run ended, where it was kept here.
    pub(crate) fn kept_exit(&self, id: Id) -> Result<Option<LastExit>, FilesError> {
        read_record(&self.directories.instance(id), LAST_EXIT)
    }

    /// Another run has begun.
    pub(crate) fn drop_kept_exit(&self, id: Id) {
        // Mostly there is none.
        drop(fs::remove_file(
            self.directories.instance(id).root().join(LAST_EXIT),
        ));
    }
}

fn make_files(directory: &InstanceDirectory, image_root: Option<&Path>) -> Result<(), FilesError> {
    let file = |attempt, path: &Path| {
        let path = path.to_owned();
        move |source| FilesError::File {
            attempt,
            path,
            source,
        }
    };
    let (upper, work) = (directory.upper(), directory.work());
    for path in [directory.root(), &upper, &work] {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            answer => answer.map_err(file("make", path))?,
        }
    }
    fs::set_permissions(directory.root(), fs::Permissions::from_mode(0o710))
        .map_err(file("set permissions of", directory.root()))?;
    // They are mounted in the container, where anyone may read them, whatever our own umask is.
    for path in [
        directory.hosts(),
        directory.hostname(),
        directory.resolv_conf(),
    ] {
        let made = fs::OpenOptions::new().create(true).append(true).open(&path);
        made.and_then(|made| made.set_permissions(fs::Permissions::from_mode(0o644)))
            .map_err(file("make", &path))?;
    }
    // The root directory of an overlay has the attributes of its topmost layer.
    if let Some(image_root) = image_root {
        let like = fs::metadata(image_root).map_err(file("look at", image_root))?;
        chown(&upper, Some(like.uid()), Some(like.gid())).map_err(file("set owner of", &upper))?;
        let permissions = fs::Permissions::from_mode(like.mode() & 0o7777);
        fs::set_permissions(&upper, permissions).map_err(file("set permissions of", &upper))?;
    }
    Ok(())
}

fn remove_files(id: Id, directory: &InstanceDirectory) -> Result<(), FilesError> {
    unmount_shared_memory(directory)?;
    let Some(parent) = directory.root().parent().filter(|parent| parent.is_dir()) else {
        return Ok(());
    };
    let removed = Root::open(parent).and_then(|root| root.remove_all(Path::new(&id.simple())));
    removed.map_err(|source| FilesError::Remove { id, source })
}

/// Removes what an instance wrote.
fn remove_layer(id: Id, directory: &InstanceDirectory) -> Result<(), FilesError> {
    let removed = Root::open(directory.root()).and_then(|root| {
        for part in ["upper", "work"] {
            root.remove_all(Path::new(part))?;
        }
        Ok(())
    });
    removed.map_err(|source| FilesError::Remove { id, source })
}

/// Takes away the mount that others shared, if there is one.
pub(crate) fn unmount_shared_memory(directory: &InstanceDirectory) -> Result<(), FilesError> {
    let path = directory.shared_memory();
    match rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH) {
        // Not mounted, or not even there.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(FilesError::File {
            attempt: "unmount",
            path,
            source: errno.into(),
        }),
    }
}

/// Whole or not at all: a reader never sees half a record.
fn write_record<T: Serialize>(
    directory: &InstanceDirectory,
    name: &str,
    record: &T,
) -> Result<(), FilesError> {
    let path = directory.root().join(name);
    let text = serde_json::to_vec(record).map_err(|source| FilesError::Malformed {
        path: path.clone(),
        source,
    })?;
    let new = directory.root().join(format!("{name}.new"));
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|source| FilesError::File {
            attempt: "write",
            path,
            source,
        })
}

fn read_record<T: DeserializeOwned>(
    directory: &InstanceDirectory,
    name: &str,
) -> Result<Option<T>, FilesError> {
    let path = directory.root().join(name);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::File {
            attempt: "read",
            path,
            source,
        }),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| FilesError::Malformed { path, source }),
    }
}

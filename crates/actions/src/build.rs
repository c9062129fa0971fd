//! Builds images: the builder says what is to be run on what, and it runs as instances of the caller's.
//!
//! Each command takes the same walk as any instance, so that it has an address, limits and a place
//! in every list; what it changed is then packed by its node and becomes a layer. Such an instance
//! goes with its build, and one whose daemon died goes when the next begins.

mod visit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::build::{BuildError, Built, Command, Commit, Network, RemoteError, Repository, Runner};
pub use ::build::{Event, Fetched, Files, Ignore, Line, Named, Parts, Remote, Request};
pub use ::image::CachedStep;
use ::image::StepLayer;
use ::image::reference::Reference;
use async_trait::async_trait;
use bytes::Bytes;
use model::Id;
use model::container::{HealthCheck, LogConfig};
use model::event::Action;
use model::image::Image;
use model::instance::{Failure, FailureKind, Instance, NetworkMode};
use model::stream::Stream;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::distribution::{self, Credentials, NewPull};
use crate::downloads::inside;
use crate::error::{invalid, with_causes};
use crate::image::{in_use, on_thread, tell};
use crate::instance::{self, BUILD_STEP, BuildStep, NewInstance, RemoveOptions, WaitFor};
pub use crate::nodes::Archive as Context;
use crate::policy::{self, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};
use visit::visit;

/// Steps that are kept for later builds; beyond, those used longest ago go.
const MOST_STEPS: usize = 2000;

/// What is to be built.
#[derive(Clone, Debug, Default)]
pub struct NewBuild {
    /// What is read, and how.
    pub request: Request,
    /// Names that the image gets.
    pub names: Vec<String>,
    /// What commands run in: limits, network and names of hosts. The image and what runs are the
    /// instructions'.
    pub template: NewInstance,
    /// Who the caller is at registries from which images are pulled, by the registry's address.
    pub credentials: BTreeMap<String, Credentials>,
    /// The one who asked for it, where its protocol has a way back to it.
    pub asker: Option<Arc<dyn Asker>>,
    /// The image is not listed: it is there for later builds only.
    pub unlisted: bool,
}

/// Whoever asked for a build, where it can be asked for what the build needs.
#[async_trait]
pub trait Asker: std::fmt::Debug + Send + Sync {
    /// Who it is at this registry, `HOST:PORT`; `None` is anybody.
    async fn credentials(&self, registry: &str) -> Result<Option<Credentials>, Failure>;

    /// What it keeps secret under this id; `None` where there is none.
    async fn secret(&self, id: &str) -> Result<Option<Bytes>, Failure>;

    /// Answers at this socket as its agent for SSH, until the tasks are dropped; `None` where it has
    /// none of this id.
    async fn agent(&self, id: &str, socket: UnixListener) -> Result<Option<JoinSet<()>>, Failure>;
}

/// Why there is no image.
#[derive(Debug)]
pub struct FailedBuild {
    /// What happened.
    pub error: ActionError,
    /// The exit status of the command that failed.
    pub exit_code: Option<i32>,
    /// The line of the Dockerfile that it is about, from 1.
    pub line: Option<usize>,
}

impl From<ActionError> for FailedBuild {
    fn from(error: ActionError) -> Self {
        Self {
            error,
            exit_code: None,
            line: None,
        }
    }
}

/// Builds an image of a context and what else there is, and lists it by its names.
///
/// Dropping the future ends the build: what runs for it is removed, and no image is listed.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the context, the Dockerfile or an instruction of it is wrong or fails,
/// [`ErrorKind::NotFound`] without an image that it begins with, [`ErrorKind::Internal`] when the
/// disk is full or fails.
pub async fn build(
    cloud: &Cloud,
    caller: &Caller,
    files: Files,
    new: NewBuild,
    events: mpsc::Sender<Event>,
) -> Result<Arc<Image>, FailedBuild> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    for name in &new.names {
        Reference::parse(name).map_err(|error| invalid(error.to_string()))?;
    }
    let mut steps = Steps::of(cloud, caller, new.asker);
    steps.keeps = new.request.keep_containers;
    steps.template = new.template;
    steps.credentials = new.credentials;
    let (images, contexts) = (&cloud.images, &cloud.contexts);
    let built = ::build::build(images, contexts, &steps, files, &new.request, events).await;
    let Built {
        image,
        held,
        reused,
    } = built.map_err(|error| FailedBuild {
        exit_code: error.exit_code(),
        line: error.line(),
        error: ActionError::new(kind_of(&error), with_causes(&error)),
    })?;
    if new.unlisted {
        return Ok(image);
    }
    let (id, names) = (image.id.clone(), new.names);
    on_thread(cloud, caller, move |cloud, caller| {
        cloud
            .images
            .list_step(&id, &names, &reused)
            .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))?;
        tell(cloud, caller, &id, None, Action::Created);
        for name in &names {
            tell(cloud, caller, &id, Some(name), Action::Tagged);
        }
        forget_oldest(cloud)
    })
    .await?;
    drop(held);
    Ok(image)
}

/// Gets a context that is elsewhere, for a build.
///
/// # Errors
/// [`ErrorKind::Invalid`] where it may not be asked for or is no context, and why it does not come.
pub async fn fetch(
    cloud: &Cloud,
    caller: &Caller,
    remote: &Remote,
    asker: Option<Arc<dyn Asker>>,
) -> Result<Fetched, ActionError> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    let steps = Steps::of(cloud, caller, asker);
    let fetched = ::build::fetch(&cloud.images, &steps, remote).await;
    fetched.map_err(|error| not_fetched(&error))
}

/// What a build takes of a context that has come.
///
/// # Errors
/// [`ErrorKind::Invalid`] where it is none.
pub fn context(fetched: Fetched) -> Result<Parts, ActionError> {
    fetched.into_context().map_err(|error| not_fetched(&error))
}

fn not_fetched(error: &RemoteError) -> ActionError {
    let kind = match error {
        RemoteError::Content(_) => ErrorKind::Internal,
        RemoteError::Failed(_) | RemoteError::Copy(_) | RemoteError::Context(_) => {
            ErrorKind::Invalid
        }
    };
    ActionError::new(kind, with_causes(error))
}

const fn kind_of(error: &BuildError) -> ErrorKind {
    match error {
        BuildError::Content(_) => ErrorKind::Internal,
        BuildError::Step { .. }
        | BuildError::Context(_)
        | BuildError::Parse(_)
        | BuildError::Target(_)
        | BuildError::Platform { .. }
        | BuildError::Epoch(_)
        | BuildError::NoImage => ErrorKind::Invalid,
    }
}

fn forget_oldest(cloud: &Cloud) -> Result<(), ActionError> {
    let steps = cloud.images.steps();
    let Some(too_many) = steps.len().checked_sub(MOST_STEPS).filter(|many| *many > 0) else {
        return Ok(());
    };
    let keys: Vec<String> = steps
        .into_iter()
        .take(too_many)
        .map(|step| step.key)
        .collect();
    prune_keys(cloud, &keys).map(drop)
}

fn prune_keys(cloud: &Cloud, keys: &[String]) -> Result<u64, ActionError> {
    cloud
        .images
        .prune_steps(keys, &|| in_use(&cloud.store))
        .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))
}

/// Steps that are kept for later builds, the one used longest ago first.
#[must_use]
pub fn cached(cloud: &Cloud, caller: &Caller) -> Vec<CachedStep> {
    if caller
        .may(policy::Action::ListImages, &Target::OPERATOR)
        .is_err()
    {
        return Vec::new();
    }
    cloud.images.steps()
}

/// Takes steps away, with `caches` also what commands kept for themselves and what is unpacked for
/// the next build; answers the bytes freed of the steps.
///
/// # Errors
/// [`ErrorKind::Internal`] when the disk fails.
pub async fn prune(
    cloud: &Cloud,
    caller: &Caller,
    keys: Vec<String>,
    caches: bool,
) -> Result<u64, ActionError> {
    caller.may(policy::Action::DeleteImage, &Target::OPERATOR)?;
    on_thread(cloud, caller, move |cloud, _| {
        let freed = prune_keys(cloud, &keys)?;
        if caches {
            cloud.contexts.clear();
            cloud
                .images
                .prune_caches()
                .map_err(|error| ActionError::new(ErrorKind::Internal, with_causes(&error)))?;
        }
        Ok(freed)
    })
    .await
}

/// Removes what ran for builds of a daemon that is gone: none of them goes on.
///
/// # Errors
/// When one cannot be removed.
pub async fn clear_away(cloud: &Cloud) -> Result<(), ActionError> {
    let caller = Caller::operator("a build that broke off".to_owned());
    for (id, found) in cloud.store.list::<Instance>() {
        if found.value.meta.annotations.contains_key(BUILD_STEP) {
            instance::remove(cloud, &caller, id, REMOVAL).await?;
        }
    }
    Ok(())
}

const REMOVAL: RemoveOptions = RemoveOptions {
    force: true,
    volumes: true,
};

/// Runs commands as instances; those that are left are removed when this is dropped.
struct Steps {
    cloud: Cloud,
    caller: Caller,
    keeps: bool,
    template: NewInstance,
    credentials: BTreeMap<String, Credentials>,
    asker: Option<Arc<dyn Asker>>,
    open: Mutex<Vec<Id>>,
}

impl Steps {
    fn of(cloud: &Cloud, caller: &Caller, asker: Option<Arc<dyn Asker>>) -> Self {
        Self {
            cloud: cloud.clone(),
            caller: caller.clone(),
            keeps: false,
            template: NewInstance::default(),
            credentials: BTreeMap::new(),
            asker,
            open: Mutex::default(),
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Id>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.open());
        if left.is_empty() || self.keeps {
            return;
        }
        let (cloud, caller) = (self.cloud.clone(), self.caller.clone());
        drop(tokio::spawn(async move {
            for id in left {
                if let Err(error) = instance::remove(&cloud, &caller, id, REMOVAL).await {
                    tracing::warn!(%id, %error, "what ran for a build is not removed; the next daemon tries again");
                }
            }
        }));
    }
}

#[async_trait]
impl Runner for Steps {
    async fn base(&self, reference: &str, pull: bool) -> Result<Arc<Image>, Failure> {
        let here = || crate::image::get(&self.cloud, &self.caller, reference);
        match here() {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Ok(_) if pull => {}
            answer => return answer.map_err(failure),
        }
        let name =
            Reference::parse(reference).map_err(|error| failure(invalid(error.to_string())))?;
        let known = self.credentials.get(name.domain()).cloned();
        let credentials = match (&self.asker, known) {
            (Some(asker), None) => asker.credentials(name.domain()).await?,
            (_, known) => known,
        };
        let new = NewPull {
            credentials,
            reference: name.or_latest(),
            platform: None,
        };
        distribution::pull(&self.cloud, &self.caller, new, &|_| {})
            .await
            .map_err(failure)?;
        here().map_err(failure)
    }

    async fn create(&self, command: &Command) -> Result<Id, Failure> {
        let mut new = self.template.clone();
        new.step = Some(if self.keeps {
            BuildStep::Stays
        } else {
            BuildStep::Passes
        });
        new.entrypoint = Some(Vec::new());
        new.command = Some(command.args.clone());
        match command.network {
            Some(Network::None) => new.spec.network = NetworkMode::None,
            Some(Network::Host) => new.spec.network = NetworkMode::Host,
            None => {}
        }
        if command.network.is_some() {
            new.spec.attachments.clear();
        }
        if new.spec.containers.is_empty() {
            new.spec
                .containers
                .push(model::container::ContainerSpec::default());
        }
        for container in &mut new.spec.containers {
            container.image.clone_from(&command.image);
            container.image_id.clone_from(&command.image);
            container.env.extend(command.env.clone());
            container.env_files.clone_from(&command.env_files);
            container.mounts.extend(command.mounts.clone());
            container.health_check = Some(HealthCheck::default());
            // What it says is told at once.
            container.log = LogConfig::None;
        }
        let created = instance::create(&self.cloud, &self.caller, new).await;
        let id = created.map_err(failure)?.id;
        self.open().push(id);
        Ok(id)
    }

    async fn run(&self, id: Id, output: mpsc::Sender<(Stream, Bytes)>) -> Result<i32, Failure> {
        let (mut from, _) = self.cloud.nodes.attach(id, false, true).await?;
        let exit = instance::wait(&self.cloud, &self.caller, id, WaitFor::NextExit);
        let exit = exit.map_err(failure)?;
        instance::start(&self.cloud, &self.caller, id)
            .await
            .map_err(failure)?;
        while let Some(chunk) = from.recv().await {
            if output.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(exit.await.map_err(failure)?.code)
    }

    async fn layer(&self, id: Id) -> Result<StepLayer, Failure> {
        self.cloud.nodes.layer(id, false).await
    }

    async fn remove(&self, id: Id) -> Result<(), Failure> {
        instance::remove(&self.cloud, &self.caller, id, REMOVAL)
            .await
            .map_err(failure)?;
        self.open().retain(|open| *open != id);
        Ok(())
    }

    async fn secret(&self, id: &str) -> Result<Option<Bytes>, Failure> {
        match &self.asker {
            Some(asker) => asker.secret(id).await,
            None => Ok(None),
        }
    }

    async fn agent(&self, id: &str, socket: UnixListener) -> Result<Option<JoinSet<()>>, Failure> {
        match &self.asker {
            Some(asker) => asker.agent(id, socket).await,
            None => Ok(None),
        }
    }

    async fn download(&self, address: &str) -> Result<StepLayer, Failure> {
        crate::registered_image::fetched(&self.cloud, address)
            .await
            .map_err(failure)
    }

    async fn commit(&self, repository: &Repository, room: &Path) -> Result<Commit, Failure> {
        let asker = self.asker.as_deref();
        let (visit, answering) = visit(asker, repository, room).await?;
        let downloads = &self.cloud.downloads;
        let commit = downloads.commit(&visit, &inside(&self.cloud)).await;
        drop(answering);
        commit.map_err(failure)
    }

    async fn check_out(
        &self,
        repository: &Repository,
        commit: &Commit,
        room: &Path,
    ) -> Result<PathBuf, Failure> {
        let asker = self.asker.as_deref();
        let (visit, answering) = visit(asker, repository, room).await?;
        let downloads = &self.cloud.downloads;
        let is_inside = inside(&self.cloud);
        let files = downloads.check_out(&visit, commit, &is_inside).await;
        drop(answering);
        files.map_err(failure)
    }
}

/// An error, as the builder tells it.
fn failure(error: ActionError) -> Failure {
    let kind = match error.kind {
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::Invalid => FailureKind::Invalid,
        ErrorKind::Conflict => FailureKind::Conflict,
        ErrorKind::CommandNotFound => FailureKind::CommandNotFound,
        ErrorKind::CommandNotExecutable => FailureKind::CommandNotExecutable,
        ErrorKind::NoCapacity => FailureKind::NoCapacity,
        _ => FailureKind::Internal,
    };
    Failure {
        kind,
        message: error.message,
    }
}

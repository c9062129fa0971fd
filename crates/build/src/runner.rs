//! What a build needs of whoever runs containers and knows images. `actions` is that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use git::{Commit, Repository};
use image::StepLayer;
use model::Id;
use model::container::Mount;
use model::image::Image;
use model::instance::Failure;
use model::stream::Stream;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A command that runs on an image.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Id of the image: `sha256:...`.
    pub image: String,
    /// The program, and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`, beside what the image has.
    pub env: Vec<String>,
    /// Variables, and the files of this node that their values are in: nobody writes these down.
    pub env_files: BTreeMap<String, String>,
    /// Whose network it has, where the instruction says so.
    pub network: Option<Network>,
    /// What is mounted for it only.
    pub mounts: Vec<Mount>,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback only.
    None,
    /// The node's.
    Host,
}

/// What runs the commands of a build, and has the images that it begins with.
///
/// What was [created](Runner::create) and not [removed](Runner::remove) when a build is dropped is
/// the runner's to remove.
#[async_trait]
pub trait Runner: Send + Sync {
    /// The image of this name or id. With `pull` a newer one is looked for.
    async fn base(&self, reference: &str, pull: bool) -> Result<Arc<Image>, Failure>;

    /// Makes what a command runs in; it does not run yet.
    async fn create(&self, command: &Command) -> Result<Id, Failure>;

    /// Runs it to its end, and answers its exit status.
    async fn run(&self, id: Id, output: mpsc::Sender<(Stream, Bytes)>) -> Result<i32, Failure>;

    /// What it changed, as a tar with whiteouts.
    async fn layer(&self, id: Id) -> Result<StepLayer, Failure>;

    /// Removes it.
    async fn remove(&self, id: Id) -> Result<(), Failure>;

    /// What whoever asked for the build keeps secret under this id; `None` where there is none.
    async fn secret(&self, id: &str) -> Result<Option<Bytes>, Failure>;

    /// Answers at this socket as the agent for SSH that whoever asked for the build has under this id,
    /// until the tasks are dropped; `None` where there is none.
    async fn agent(&self, id: &str, socket: UnixListener) -> Result<Option<JoinSet<()>>, Failure>;

    /// The file at an address of the web.
    async fn download(&self, address: &str) -> Result<StepLayer, Failure>;

    /// The commit that the address of a repository means now. A directory for what git needs is empty.
    async fn commit(&self, repository: &Repository, room: &Path) -> Result<Commit, Failure>;

    /// The files of a commit; answers their directory, in the same one as before.
    async fn check_out(
        &self,
        repository: &Repository,
        commit: &Commit,
        room: &Path,
    ) -> Result<PathBuf, Failure>;
}

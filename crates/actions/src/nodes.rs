//! How a request reaches the node that has an instance: everything that is not desired state.
//!
//! The binary implements this over the local agent; callers are [`crate::stream`] and
//! [`crate::exec`] only, which authorise first.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use model::Id;
use model::container::TerminalSize;
use model::instance::Failure;
use model::stream::{
    Change, ExecSpec, ExecStatus, ExtractOptions, HostPaths, LogLine, LogOptions, PathStat,
    Processes, Stats, Stream,
};
use model::volume::Volume;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc};

/// Bytes out of a process, as they come.
pub type Output = mpsc::Receiver<(Stream, Bytes)>;
/// Bytes into a process; shutting it down ends the process's standard input.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// A tar archive on its way.
pub type Archive = Box<dyn AsyncRead + Send + Unpin>;
/// Batches of log lines.
pub type LogLines = mpsc::Receiver<Result<Vec<LogLine>, Failure>>;

/// What happens to an instance, and is told as an event without being on record.
#[derive(Clone, Debug)]
pub enum News {
    /// The process that it is was sent this signal.
    Signal(Id, i32),
    /// An exec ended with this status.
    ExecDied(Id, String, i32),
}

/// The nodes' streams. Each method has the meaning of the engine's method of the same name.
#[async_trait]
#[expect(missing_docs, reason = "each method is the engine's of the same name")]
pub trait Nodes: Send + Sync + 'static {
    async fn signal(&self, id: Id, signal: &str) -> Result<(), Failure>;
    async fn attach(
        &self,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure>;
    async fn resize(&self, id: Id, size: TerminalSize) -> Result<(), Failure>;
    async fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure>;
    async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure>;
    async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure>;
    async fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure>;
    async fn execs(&self, id: Id) -> Vec<String>;
    async fn logs(&self, id: Id, options: &LogOptions) -> Result<LogLines, Failure>;
    async fn stats(&self, id: Id) -> Result<Stats, Failure>;
    async fn processes(&self, id: Id, ps_args: &[String]) -> Result<Processes, Failure>;
    async fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure>;
    async fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure>;
    async fn write_archive(
        &self,
        id: Id,
        path: &str,
        archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure>;
    async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure>;
    async fn export(&self, id: Id) -> Result<Archive, Failure>;
    async fn layer(&self, id: Id, hold: bool) -> Result<Archive, Failure>;
    async fn export_volume(&self, volume: &Volume) -> Result<Archive, Failure>;
    async fn volume_size(&self, volume: &Volume) -> Result<u64, Failure>;
    async fn writable_size(&self, id: Id) -> Result<u64, Failure>;
    async fn volume_path(&self, volume: &Volume) -> Result<PathBuf, Failure>;
    fn paths(&self, id: Id) -> HostPaths;
    fn news(&self) -> broadcast::Receiver<News>;
}

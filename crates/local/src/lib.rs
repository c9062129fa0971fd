//! Leads the streams of the public APIs to the engine of this machine, the only node there is.
//!
//! The binary puts it under `actions`, and so do tests that have a whole cloud in one process.

use std::path::PathBuf;
use std::sync::Arc;

use actions::nodes::{Archive, Input, LogLines, News, Nodes, Output};
use async_trait::async_trait;
use engine::{Engine, Happening};
use model::Id;
use model::container::TerminalSize;
use model::instance::Failure;
use model::stream::{
    Change, ExecSpec, ExecStatus, ExtractOptions, HostPaths, LogOptions, PathStat, Processes, Stats,
};
use model::volume::Volume;
use tokio::sync::broadcast;

/// News kept for a slow listener.
const NEWS_KEPT: usize = 1024;

/// The node that this process is.
pub struct ThisNode {
    engine: Arc<dyn Engine>,
}

impl ThisNode {
    /// For this machine's engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl Nodes for ThisNode {
    async fn signal(&self, id: Id, signal: &str) -> Result<(), Failure> {
        self.engine.signal(id, signal).await
    }

    async fn attach(
        &self,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.engine.attach(id, stdin, output).await
    }

    async fn resize(&self, id: Id, size: TerminalSize) -> Result<(), Failure> {
        self.engine.resize(id, size).await
    }

    async fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure> {
        self.engine.exec_create(id, spec).await
    }

    async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.engine.exec_start(exec, detach, size).await
    }

    async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<(), Failure> {
        self.engine.exec_resize(exec, size).await
    }

    async fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure> {
        self.engine.exec_status(exec).await
    }

    async fn execs(&self, id: Id) -> Vec<String> {
        self.engine.execs(id).await
    }

    async fn logs(&self, id: Id, options: &LogOptions) -> Result<LogLines, Failure> {
        self.engine.logs(id, options).await
    }

    async fn stats(&self, id: Id) -> Result<Stats, Failure> {
        self.engine.stats(id).await
    }

    async fn processes(&self, id: Id, ps_args: &[String]) -> Result<Processes, Failure> {
        self.engine.processes(id, ps_args).await
    }

    async fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure> {
        self.engine.stat_path(id, path).await
    }

    async fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure> {
        self.engine.read_archive(id, path).await
    }

    async fn write_archive(
        &self,
        id: Id,
        path: &str,
        archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure> {
        self.engine.write_archive(id, path, archive, options).await
    }

    async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure> {
        self.engine.changes(id).await
    }

    async fn export(&self, id: Id) -> Result<Archive, Failure> {
        self.engine.export(id).await
    }

    async fn layer(&self, id: Id, hold: bool) -> Result<Archive, Failure> {
        self.engine.layer(id, hold).await
    }

    async fn export_volume(&self, volume: &Volume) -> Result<Archive, Failure> {
        self.engine.export_volume(volume).await
    }

    async fn volume_size(&self, volume: &Volume) -> Result<u64, Failure> {
        self.engine.volume_size(volume).await
    }

    async fn writable_size(&self, id: Id) -> Result<u64, Failure> {
        self.engine.writable_size(id).await
    }

    async fn volume_path(&self, volume: &Volume) -> Result<PathBuf, Failure> {
        self.engine.ensure_volume(volume).await
    }

    fn paths(&self, id: Id) -> HostPaths {
        self.engine.paths(id)
    }

    fn news(&self) -> broadcast::Receiver<News> {
        let (sender, receiver) = broadcast::channel(NEWS_KEPT);
        let mut happenings = self.engine.happenings();
        drop(tokio::spawn(async move {
            loop {
                let news = match happenings.recv().await {
                    Ok(Happening::Signal(id, number)) => News::Signal(id, number),
                    Ok(Happening::Exec(id, exec, Some(code))) => News::ExecDied(id, exec, code),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if sender.send(news).is_err() {
                    return;
                }
            }
        }));
        receiver
    }
}

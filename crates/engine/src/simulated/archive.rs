//! Archives that go into simulated instances and come out of them.

use model::Id;
use model::instance::{Failure, FailureKind, Instance};
use model::stream::{ExtractOptions, PathStat};
use tokio::io::AsyncReadExt as _;

use super::World;
use super::files::FileKind;
use super::process::container;
use crate::Archive;
use crate::failure::refused;

impl World {
    pub(super) fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure> {
        let mut state = self.state();
        let body = state.body(id)?;
        body.files
            .stat(path)
            .ok_or_else(|| no_such_file(&body.instance, path))
    }

    pub(super) fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure> {
        let mut state = self.state();
        let body = state.body(id)?;
        match (body.files.stat(path), body.files.archive(path)) {
            (Some(stat), Some(archive)) => Ok((stat, Box::new(std::io::Cursor::new(archive)))),
            _ => Err(no_such_file(&body.instance, path)),
        }
    }

    pub(super) async fn write_archive(
        &self,
        id: Id,
        path: &str,
        mut archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure> {
        {
            let mut state = self.state();
            let body = state.body(id)?;
            match body.files.kind_of(path) {
                None => return Err(no_such_file(&body.instance, path)),
                Some(FileKind::Other) => {
                    return Err(refused(
                        FailureKind::Invalid,
                        "extraction point is not a directory",
                    ));
                }
                Some(FileKind::Directory) if container(&body.instance)?.read_only_root => {
                    return Err(refused(
                        FailureKind::Invalid,
                        "container rootfs is marked read-only",
                    ));
                }
                Some(FileKind::Directory) => {}
            }
        }
        let mut bytes = Vec::new();
        let read = archive.read_to_end(&mut bytes).await;
        read.map_err(|error| {
            refused(
                FailureKind::Invalid,
                format!("cannot read the archive: {error}"),
            )
        })?;
        let now = self.now();
        self.state()
            .body(id)?
            .files
            .extract(path, &bytes, options, now)
    }
}

fn no_such_file(instance: &Instance, path: &str) -> Failure {
    refused(
        FailureKind::NotFound,
        format!(
            "Could not find the file {path} in container {}",
            instance.meta.name
        ),
    )
}

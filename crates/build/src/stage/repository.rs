//! `ADD` of a repository of git: its commit tells whether it was added already, before it is fetched.

use std::path::PathBuf;
use std::sync::Arc;

use git::{Commit, Repository};
use rooted::Root;

use super::State;
use super::files::blocking;
use crate::copy::CopyError;
use crate::copy::source::{Place, Source};
use crate::pattern::Ignore;

/// A commit whose files are copied.
pub(super) struct Wanted {
    repository: Repository,
    commit: Commit,
    /// The directory that is git's.
    room: PathBuf,
}

impl Wanted {
    /// What it is, for the history.
    pub(super) fn shown(&self) -> String {
        format!("git:{}", self.commit.id)
    }

    /// How it is told from other uses of the same commit.
    pub(super) fn depends_on(&self) -> String {
        let Repository {
            directory,
            submodules,
            keep_git_dir,
            ..
        } = &self.repository;
        // Git's own files say from where they are.
        let own = (*keep_git_dir == Some(true)).then(|| {
            let Commit {
                object, reference, ..
            } = &self.commit;
            (self.repository.shown(), object, reference)
        });
        format!(" {directory:?} {submodules} {own:?}")
    }
}

impl State<'_> {
    /// What the address of a repository means now.
    pub(super) async fn commit_of(&self, repository: Repository) -> Result<Wanted, CopyError> {
        let room = self.desk().new_dir()?;
        let commit = self.build.runner.commit(&repository, &room).await;
        let commit = commit.map_err(|failure| not_had(&repository, failure))?;
        Ok(Wanted {
            repository,
            commit,
            room,
        })
    }

    /// The files of a commit.
    pub(super) async fn checked_out(
        &self,
        wanted: Wanted,
        exclude: &Ignore,
    ) -> Result<Source, CopyError> {
        let Wanted {
            repository,
            commit,
            room,
        } = wanted;
        let runner = self.build.runner;
        let directory = runner.check_out(&repository, &commit, &room).await;
        let directory = directory.map_err(|failure| not_had(&repository, failure))?;
        let place = Place {
            root: Arc::new(Root::open(&directory)?),
            keeps_owners: false,
        };
        let exclude = exclude.clone();
        blocking(move || place.whole(&exclude)).await
    }
}

fn not_had(repository: &Repository, failure: model::instance::Failure) -> CopyError {
    CopyError::Download {
        source_name: repository.shown(),
        failure,
    }
}

//! Contexts that are elsewhere: a repository of git, or a file of the web, which is an archive or a
//! Dockerfile.
//!
//! Source: Docker's manual, "Build context"; BuildKit, `frontend/dockerui/context.go`.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use git::{AddressError, Repository};
use image::pack::{Options, Packer};
use image::{ContentError, Scratch, StepLayer, Store, extract};
use model::instance::Failure;
use rooted::Root;
use tokio::io::AsyncWriteExt;

use crate::context::{ContextError, MOST_BYTES};
use crate::copy::CopyError;
use crate::runner::Runner;
use crate::stage::packed;

/// What a file of the web is called in a directory that has nothing else.
const FILE: &str = "context";

/// The end of an archive, with nothing before it.
const EMPTY_ARCHIVE: [u8; 1024] = [0; 1024];

/// Where a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// In a repository of git.
    Repository(Repository),
    /// At an address of the web.
    File(String),
}

impl Remote {
    /// What an address means; `None` where it is none.
    ///
    /// # Errors
    /// [`AddressError`] where it is a repository's, and wrong.
    pub fn parse(text: &str) -> Result<Option<Self>, AddressError> {
        if let Some(repository) = Repository::parse(text)? {
            return Ok(Some(Self::Repository(repository)));
        }
        let is_web = text.starts_with("http://") || text.starts_with("https://");
        Ok(is_web.then(|| Self::File(text.to_owned())))
    }

    /// The address, without whoever signs in there.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Repository(repository) => repository.shown(),
            Self::File(address) => address.clone(),
        }
    }
}

/// Why a context that is elsewhere does not come.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be had.
    #[error("{0}")]
    Failed(Failure),
    /// It does not come whole.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// It is no context.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// A context that has come.
#[derive(Debug)]
pub struct Fetched {
    scratch: Scratch,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    /// By itself in a directory.
    File(PathBuf),
}

/// What a build takes of a context that has come.
pub struct Parts {
    /// The archive.
    pub archive: StepLayer,
    /// The Dockerfile, where it is all that there is.
    pub dockerfile: Option<Bytes>,
}

/// Gets what is elsewhere.
///
/// # Errors
/// [`RemoteError`]; nothing of it stays then.
pub async fn fetch(
    store: &Store,
    runner: &dyn Runner,
    remote: &Remote,
) -> Result<Fetched, RemoteError> {
    let scratch = store.scratch()?;
    let room = scratch.create_dir("room")?;
    let place = match remote {
        Remote::Repository(repository) => {
            let commit = runner.commit(repository, &room).await;
            let commit = commit.map_err(RemoteError::Failed)?;
            let found = runner.check_out(repository, &commit, &room).await;
            Place::Directory(found.map_err(RemoteError::Failed)?)
        }
        Remote::File(address) => {
            let path = room.join(FILE);
            receive(runner, address, &path).await?;
            Place::File(path)
        }
    };
    Ok(Fetched { scratch, place })
}

impl Fetched {
    /// The context that it is.
    ///
    /// # Errors
    /// When a file of it cannot be read, or is no archive and too large for a Dockerfile.
    pub fn into_context(self) -> Result<Parts, RemoteError> {
        let Place::File(path) = &self.place else {
            return Ok(Parts {
                archive: self.into_directory(),
                dockerfile: None,
            });
        };
        let failed = |source| ContextError::Read {
            path: FILE.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        if extract::is_archive(&file) {
            // It is there as long as it is open.
            return Ok(Parts {
                archive: Box::new(tokio::fs::File::from_std(file)),
                dockerfile: None,
            });
        }
        if file.metadata().map_err(failed)?.len() > MOST_BYTES {
            return Err(ContextError::TooLarge(FILE.to_owned()).into());
        }
        let text = std::fs::read(path).map_err(failed)?;
        Ok(Parts {
            archive: Box::new(std::io::Cursor::new(EMPTY_ARCHIVE)),
            dockerfile: Some(text.into()),
        })
    }

    /// The files that it is, as an archive: a file of the web is one of them, whatever is in it.
    #[must_use]
    pub fn into_directory(self) -> StepLayer {
        let Self { scratch, place } = self;
        packed(move |out| {
            let directory = match &place {
                Place::Directory(path) => path.as_path(),
                Place::File(path) => path.parent().unwrap_or(path),
            };
            let mut packer = Packer::new(out, Options::default());
            packer.add_root(&Root::open(directory)?)?;
            packer.finish()?;
            drop(scratch);
            Ok(())
        })
    }
}

/// Takes a file of the web.
pub(crate) async fn receive(
    runner: &dyn Runner,
    address: &str,
    path: &Path,
) -> Result<(), CopyError> {
    let failed = |attempt| {
        move |source| CopyError::File {
            attempt,
            path: address.to_owned(),
            source,
        }
    };
    let download = runner.download(address).await;
    let mut stream = download.map_err(|failure| CopyError::Download {
        source_name: address.to_owned(),
        failure,
    })?;
    let file = tokio::fs::File::create(path).await;
    let mut file = file.map_err(failed("create a file for"))?;
    let copied = tokio::io::copy(&mut stream, &mut file).await;
    copied.map_err(failed("receive"))?;
    file.flush().await.map_err(failed("write"))
}

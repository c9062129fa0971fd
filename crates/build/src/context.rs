//! The files that a build may copy from: an archive that came with the request, in a directory of
//! its own, in which nothing changes once it is there.
//!
//! They are a stranger's: they are looked up through [`rooted::Root`] only, and hold no devices.
//! What is kept of them from build to build is [`crate::contexts`]'.

use std::path::Path;

use bytes::Bytes;
use image::extract::{self, ExtractError};
use image::{ContentError, Scratch, Store, pipe};
use rooted::{Root, RootedError};
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncRead;

use crate::pattern::{Ignore, PatternError};

/// A Dockerfile or `.dockerignore` larger than this is none.
pub(crate) const MOST_BYTES: u64 = 4 << 20;

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The archive.
    #[error("Error reading the build context")]
    Archive(#[from] ExtractError),
    /// Its directory.
    #[error(transparent)]
    Root(#[from] RootedError),
    /// There is no Dockerfile in it.
    #[error("Cannot locate specified Dockerfile: {0}")]
    NoDockerfile(String),
    /// The Dockerfile has nothing in it.
    #[error("the Dockerfile ({0}) cannot be empty")]
    EmptyDockerfile(String),
    /// A file that is read whole is too large for that.
    #[error("{0} is larger than 4 MiB")]
    TooLarge(String),
    /// A file that is to be read whole cannot be.
    #[error("read {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its `.dockerignore`.
    #[error("failed to read .dockerignore")]
    Ignore(#[from] PatternError),
}

/// Whether this is a Dockerfile, before anybody reads what it says.
pub(crate) fn check_dockerfile(path: &str, content: &[u8]) -> Result<(), ContextError> {
    if content.is_empty() {
        return Err(ContextError::EmptyDockerfile(path.to_owned()));
    }
    if content.len() as u64 > MOST_BYTES {
        return Err(ContextError::TooLarge(path.to_owned()));
    }
    Ok(())
}

/// The files of a build.
#[derive(Debug)]
pub(crate) struct Context {
    scratch: Scratch,
    root: Root,
    /// What the Dockerfile in it says; empty where none was looked for.
    pub(crate) dockerfile: Bytes,
}

impl Context {
    /// Unpacks an archive (plain, gzip or zstd), perhaps with the Dockerfile at a path in it.
    pub(crate) async fn receive(
        store: &Store,
        archive: impl AsyncRead + Unpin,
        dockerfile: Option<String>,
    ) -> Result<Self, ContextError> {
        let scratch = store.scratch()?;
        let root = Root::open(&scratch.create_dir("context")?)?;
        pipe::feed_blocking(archive, move |reader| {
            let options = extract::Options {
                owner: Some((0, 0)),
                refuse_devices: true,
                ..extract::Options::default()
            };
            extract::extract(reader, &root, Path::new("/"), options)?;
            let mut context = Self {
                scratch,
                root,
                dockerfile: Bytes::new(),
            };
            if let Some(path) = dockerfile {
                context.dockerfile = context.take_dockerfile(&path)?.into();
            }
            Ok(context)
        })
        .await
    }

    /// The directory, for who looks things up in it.
    pub(crate) fn root(&self) -> Result<Root, RootedError> {
        Root::open(&self.scratch.path().join("context"))
    }

    /// The Dockerfile; it and the `.dockerignore` are taken out of the context where the latter
    /// says so.
    fn take_dockerfile(&self, path: &str) -> Result<Vec<u8>, ContextError> {
        let missing = || ContextError::NoDockerfile(path.to_owned());
        let content = self.read(path)?.ok_or_else(missing)?;
        check_dockerfile(path, &content)?;
        let own = format!("{path}.dockerignore");
        let rules = match self.read(&own)? {
            Some(rules) => Some(rules),
            None => self.read(".dockerignore")?,
        };
        if let Some(rules) = rules {
            let ignore = Ignore::parse(&String::from_utf8_lossy(&rules))?;
            for file in [".dockerignore", &own, path] {
                if ignore.leaves_out(Path::new(file)) {
                    self.root.remove_all(Path::new(file))?;
                }
            }
        }
        Ok(content)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ContextError> {
        let failed = |source| ContextError::Read {
            path: path.to_owned(),
            source,
        };
        // A pipe in its place must not hold the build up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.root.open_at(Path::new(path), flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if error.source == rustix::io::Errno::NOENT => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = file.metadata().map_err(failed)?.len();
        if size > MOST_BYTES {
            return Err(ContextError::TooLarge(path.to_owned()));
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_BYTES), &mut content)
            .map_err(failed)?;
        Ok(Some(content))
    }
}

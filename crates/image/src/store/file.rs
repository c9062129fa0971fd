//! Files kept as they came: what a user uploads can be downloaded again, byte for byte.
//!
//! A stream is received into `staging` while its digests are computed, and then kept as a blob by
//! its SHA-256, so that the layer of an uploaded root file system and the upload itself are one
//! file. Which files are still wanted is asked of the caller, by [`Store::collect`].

use std::fs::File;
use std::io::{self, Read};

use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA512};
use tokio::io::AsyncRead;

use super::content::{Staging, failed};
use super::held::Held;
use super::layers::StagedBlob;
use super::{ContentError, Store};
use crate::archive;
use crate::compression::{InflateError, inflated};
use crate::digest::Digest;
use crate::layer::{SpoolError, Spooled, spool};
use crate::pipe;

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Digest that it is kept by: `sha256:...`.
    pub id: String,
    /// Bytes of it.
    pub size_bytes: u64,
    /// Hexadecimal digits of its MD5.
    pub md5: String,
    /// Hexadecimal digits of its SHA-512.
    pub sha512: String,
}

/// A file that came whole and is not kept yet; gone when dropped.
#[derive(Debug)]
pub struct Received {
    _staging: Staging,
    blob: StagedBlob,
    facts: FileFacts,
}

/// A file that is kept for as long as something uses it, or this lives.
#[derive(Debug)]
pub struct KeptFile {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    /// What it is known by.
    pub facts: FileFacts,
    /// Keeps it until somebody has written down that it is in use.
    pub held: Held,
}

/// Why a file was not received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The stream broke.
    #[error("the data broke off")]
    Read(#[source] io::Error),
    /// There is more of it than may be.
    #[error("the data has more than {most_bytes} bytes")]
    TooLarge {
        /// The most that may be.
        most_bytes: u64,
    },
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Store {
    /// Receives a stream of at most `most_bytes`, in bounded memory.
    ///
    /// # Errors
    /// When the stream breaks or is too long, or the disk is full; nothing stays then.
    pub async fn receive(
        &self,
        stream: impl AsyncRead + Unpin + Send + 'static,
        most_bytes: u64,
    ) -> Result<Received, ReceiveError> {
        let store = self.clone();
        pipe::feed_blocking(stream, move |reader| {
            store.receive_blocking(reader, most_bytes)
        })
        .await
    }

    fn receive_blocking(
        &self,
        reader: impl Read,
        most_bytes: u64,
    ) -> Result<Received, ReceiveError> {
        let staging = self.content().staging()?;
        let (file, path) = staging.create("file")?;
        let mut input = Hashed {
            input: reader,
            left: most_bytes,
            md5: Md5::new(),
            sha512: Context::new(&SHA512),
        };
        let spooled = spool(&mut input, &file).map_err(|error| match error {
            SpoolError::Read(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                ReceiveError::TooLarge { most_bytes }
            }
            SpoolError::Read(error) => ReceiveError::Read(error),
            SpoolError::Write(error) => failed("write", &path)(error).into(),
        })?;
        file.sync_all().map_err(failed("flush", &path))?;
        let facts = FileFacts {
            id: spooled.digest.to_string(),
            size_bytes: spooled.size_bytes,
            md5: hex::encode(input.md5.finalize()),
            sha512: hex::encode(input.sha512.finish()),
        };
        Ok(Received {
            _staging: staging,
            blob: StagedBlob { path, spooled },
            facts,
        })
    }

    /// Keeps a file that was received. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be moved, or the index not be written.
    pub fn keep(&self, received: Received) -> Result<KeptFile, ContentError> {
        let Spooled { digest, size_bytes } = received.blob.spooled;
        let held = self.hold(digest);
        self.change(|state| {
            self.content().adopt_blob(&received.blob.path, &digest)?;
            state.index.files.insert(digest, size_bytes);
            Ok::<_, ContentError>(())
        })?;
        Ok(KeptFile {
            digest,
            size_bytes,
            facts: received.facts,
            held,
        })
    }

    /// Holds a file that is kept already, to do something with it; `None` where it is not.
    #[must_use]
    pub fn kept(&self, facts: &FileFacts) -> Option<KeptFile> {
        let digest: Digest = facts.id.parse().ok()?;
        let held = self.hold(digest);
        let size_bytes = self.state().index.files.get(&digest).copied()?;
        Some(KeptFile {
            digest,
            size_bytes,
            facts: facts.clone(),
            held,
        })
    }

    /// Opens a file that is kept by this digest (`sha256:...`).
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open_kept(&self, id: &str) -> Result<File, ContentError> {
        let missing = || failed("find", id.as_ref())(io::ErrorKind::NotFound.into());
        let digest: Digest = id.parse().map_err(|_| missing())?;
        if !self.state().index.files.contains_key(&digest) {
            return Err(missing());
        }
        self.content().open_blob(&digest)
    }

    /// Whether a kept file is a tar (plain, gzip or zstd), by its beginning.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_tar(&self, file: &KeptFile) -> Result<bool, ContentError> {
        let path = self.content().blob_path(&file.digest);
        let mut block = [0; 512];
        let read = match inflated(self.content().open_blob(&file.digest)?) {
            Ok(mut content) => content.read_exact(&mut block),
            Err(InflateError::Unsupported(_)) => return Ok(false),
            Err(InflateError::Read(error)) => Err(error),
        };
        match read {
            Ok(()) => Ok(archive::is_start(block)),
            // Too short, or only alike to something compressed.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Other
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// A kept file, as a layer that is to be unpacked.
    pub(crate) fn as_blob(&self, file: &KeptFile) -> StagedBlob {
        StagedBlob {
            path: self.content().blob_path(&file.digest),
            spooled: Spooled {
                digest: file.digest,
                size_bytes: file.size_bytes,
            },
        }
    }
}

/// Hashes what is read, and ends with an error where it is too long.
struct Hashed<R> {
    input: R,
    left: u64,
    md5: Md5,
    sha512: Context,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        let bytes = &buffer[..length];
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.md5.update(bytes);
        self.sha512.update(bytes);
        Ok(length)
    }
}

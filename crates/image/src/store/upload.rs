//! A blob on its way in, piece by piece: on disk and hashed as far as it has come.
//!
//! Lives as long as the value: what is not shelved ([`super::shelf`]) is freed with it, and after a
//! crash when the store is opened again. The registry's uploads are these.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use bytes::Bytes;

use super::content::{Staging, failed};
use super::early::Early;
use super::{ContentError, Store};
use crate::digest::Hasher;

/// Pieces that are written and not yet hashed.
const UNDER_WAY: usize = 8;

/// A blob on its way in.
#[derive(Debug)]
pub struct Upload {
    pub(super) _staging: Staging,
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) hasher: Hasher,
    size_bytes: u64,
}

/// Why a piece was not added, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream broke; what came before that was added.
    #[error("the data broke off")]
    Read(#[source] io::Error),
    /// There is more of it than was said; nothing was added.
    #[error("the data has more than the {most_bytes} bytes that were said")]
    TooLong {
        /// The most that may be.
        most_bytes: u64,
    },
    /// The file cannot be written; what came before that was added. Where the disk lost what it had
    /// taken, the upload is empty again.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Store {
    /// Begins an upload, of nothing yet.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn begin_upload(&self) -> Result<Upload, ContentError> {
        let staging = self.content().staging()?;
        let (file, path) = staging.create("blob")?;
        Ok(Upload {
            _staging: staging,
            file,
            path,
            hasher: Hasher::default(),
            size_bytes: 0,
        })
    }
}

impl Upload {
    /// Bytes that have come.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The file, to be read as far as it has come, with the calls that name an offset; it can be read
    /// to its end even when the upload is dropped meanwhile.
    ///
    /// # Errors
    /// When the process has too many files open.
    pub fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Adds all pieces, at most `most_bytes` of them, and tells after each how much there is now. Waits
    /// for the disk; each piece is hashed while the next is written.
    ///
    /// # Errors
    /// When the stream breaks or is too long, or the disk is full.
    pub fn append(
        &mut self,
        pieces: impl IntoIterator<Item = io::Result<Bytes>>,
        most_bytes: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<(), AppendError> {
        let Self {
            file,
            path,
            hasher,
            size_bytes,
            ..
        } = self;
        let (before, began_at) = (hasher.clone(), *size_bytes);
        let (added, flushed) = thread::scope(|scope| {
            let (to_hasher, for_hasher) = sync_channel::<Bytes>(UNDER_WAY);
            scope.spawn(move || for_hasher.iter().for_each(|piece| hasher.update(&piece)));
            let flush = || {
                let flushed = file.sync_data();
                flushed.map_err(failed("flush", path))
            };
            let mut early = Early::start(scope, flush);
            let mut add = |piece: io::Result<Bytes>| {
                let piece = piece.map_err(AppendError::Read)?;
                let length = piece.len() as u64;
                if *size_bytes - began_at + length > most_bytes {
                    return Err(AppendError::TooLong { most_bytes });
                }
                file.write_all_at(&piece, *size_bytes)
                    .map_err(failed("write", path))?;
                *size_bytes += length;
                progress(*size_bytes);
                early.wrote(length);
                // It hears until this ends.
                drop(to_hasher.send(piece));
                Ok(())
            };
            let added = pieces.into_iter().try_for_each(&mut add);
            // Also of a stream that broke: the kernel tells of what it could not keep only once.
            (added, early.finish())
        });
        if let Err(error) = flushed {
            // Which bytes are lost nobody knows.
            (self.hasher, self.size_bytes) = (Hasher::default(), 0);
            progress(0);
            return Err(error.into());
        }
        if matches!(added, Err(AppendError::TooLong { .. })) {
            // Bytes after the end are written over by the next piece.
            (self.hasher, self.size_bytes) = (before, began_at);
            progress(began_at);
        }
        added
    }
}

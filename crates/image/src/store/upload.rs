//! A blob on its way in, piece by piece: on disk and hashed as far as it has come.
//!
//! Lives as long as the value: what is not shelved ([`super::shelf`]) is freed with it, and after a
//! crash when the store is opened again. The registry's uploads are these.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::content::{Staging, failed};
use super::{ContentError, Store};
use crate::digest::Hasher;

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
    /// The file cannot be written; what came before that was added.
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

    /// Adds all that `input` gives, at most `most_bytes`, and tells after each piece how much there is
    /// now. Waits for the disk.
    ///
    /// # Errors
    /// When the stream breaks or is too long, or the disk is full.
    pub fn append(
        &mut self,
        mut input: impl BufRead,
        most_bytes: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<(), AppendError> {
        let (hasher, began_at) = (self.hasher.clone(), self.size_bytes);
        loop {
            let piece = input.fill_buf().map_err(AppendError::Read)?;
            if piece.is_empty() {
                return Ok(());
            }
            let length = piece.len() as u64;
            if self.size_bytes - began_at + length > most_bytes {
                // Bytes after the end are written over by the next piece.
                (self.hasher, self.size_bytes) = (hasher, began_at);
                progress(began_at);
                return Err(AppendError::TooLong { most_bytes });
            }
            self.file
                .write_all_at(piece, self.size_bytes)
                .map_err(failed("write", &self.path))?;
            self.hasher.update(piece);
            self.size_bytes += length;
            let length = piece.len();
            input.consume(length);
            progress(self.size_bytes);
        }
    }
}

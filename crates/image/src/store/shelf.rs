//! The shelf: content that the registry offers, by digest, each a file with its bytes as they came.
//!
//! A file on the shelf is the same file as the engine's blob of that content where there is one (two
//! names of one inode), so it is on disk once, whoever brought it. Which of them are needed is asked
//! of the caller, by [`Store::sweep_shelf`]; the registry's records say it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::digest::{Algorithm, ContentDigest};
use ring::digest::{Context, SHA512};

use super::content::{entries, failed};
use super::upload::Upload;
use super::{ContentError, Store};
use crate::digest::Digest;

/// Bytes read at once of a file that is hashed again.
const CHUNK: usize = 256 << 10;

/// How many operations under way rely on content that nothing may need yet.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<HashMap<ContentDigest, usize>>);

impl Shelf {
    fn held(&self) -> MutexGuard<'_, HashMap<ContentDigest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Content on the shelf, which stays there at least until this is dropped.
#[derive(Debug)]
#[must_use = "what is shelved is free to go when this is dropped"]
pub struct Shelved {
    store: Store,
    digest: ContentDigest,
    /// Bytes of it.
    pub size_bytes: u64,
}

impl Drop for Shelved {
    fn drop(&mut self) {
        let mut held = self.store.inner.shelf.held();
        if let Some(count) = held.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.digest);
            }
        }
    }
}

/// Content on the shelf, to be read; it can be read to its end even when it is swept meanwhile.
#[derive(Debug)]
pub struct OnShelf {
    /// From its beginning.
    pub file: File,
    /// Bytes of it.
    pub size_bytes: u64,
}

/// Why an upload was not shelved.
#[derive(Debug, thiserror::Error)]
pub enum ShelveError {
    /// It is not the content that it was said to be.
    #[error("the content has digest {found}, not {expected}")]
    Digest {
        /// As said.
        expected: ContentDigest,
        /// As computed.
        found: ContentDigest,
    },
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Store {
    /// Shelves an upload that came whole. Waits for the disk.
    ///
    /// # Errors
    /// When it is other content than `expected`, or the disk is full.
    pub fn shelve(&self, upload: Upload, expected: &ContentDigest) -> Result<Shelved, ShelveError> {
        let size_bytes = upload.size_bytes();
        let sha256 = upload.hasher.finish();
        let found = match expected.algorithm() {
            Algorithm::Sha256 => sha256.to_content(),
            Algorithm::Sha512 => {
                sha512(&upload.file, size_bytes).map_err(failed("read", &upload.path))?
            }
        };
        if found != *expected {
            return Err(ShelveError::Digest {
                expected: expected.clone(),
                found,
            });
        }
        let shelved = self.hold_shelved(expected, size_bytes);
        if !self.is_shelved(expected) {
            // What was written after the end by a piece that was refused.
            upload
                .file
                .set_len(size_bytes)
                .map_err(failed("cut", &upload.path))?;
            let twins = [
                self.content().shelf_path(&sha256.to_content()),
                self.content().blob_path(&sha256),
            ];
            self.put_on_shelf(&upload.path, &twins, expected)?;
        }
        Ok(shelved)
    }

    /// Shelves a small document under its digest by `algorithm`. Waits for the disk.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn shelve_document(
        &self,
        text: &[u8],
        algorithm: Algorithm,
    ) -> Result<(ContentDigest, Shelved), ContentError> {
        let digest = digest_of(text, algorithm);
        let shelved = self.hold_shelved(&digest, text.len() as u64);
        if !self.is_shelved(&digest) {
            let staging = self.content().staging()?;
            let (mut file, path) = staging.create("document")?;
            io::Write::write_all(&mut file, text).map_err(failed("write", &path))?;
            let twins = [self.content().blob_path(&Digest::of(text))];
            self.put_on_shelf(&path, &twins, &digest)?;
        }
        Ok((digest, shelved))
    }

    /// Shelves content that the engine has; `None` where it does not, whoever else may. Moves no bytes,
    /// but waits for the disk.
    ///
    /// # Errors
    /// When it cannot be linked.
    pub fn shelve_own(&self, digest: &ContentDigest) -> Result<Option<Shelved>, ContentError> {
        let Ok(own) = digest.as_str().parse::<Digest>() else {
            return Ok(None);
        };
        let path = self.content().blob_path(&own);
        let mut shelved = self.hold_shelved(digest, 0);
        match self.put_on_shelf(&path, &[], digest) {
            Ok(()) => {
                let path = self.content().shelf_path(digest);
                let facts = fs::metadata(&path).map_err(failed("look at", &path))?;
                shelved.size_bytes = facts.len();
                Ok(Some(shelved))
            }
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds content that is on the shelf; `None` where it is not.
    #[must_use]
    pub fn shelved(&self, digest: &ContentDigest) -> Option<Shelved> {
        let mut shelved = self.hold_shelved(digest, 0);
        let facts = fs::metadata(self.content().shelf_path(digest)).ok()?;
        shelved.size_bytes = facts.len();
        Some(shelved)
    }

    /// Opens content on the shelf.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open_shelved(&self, digest: &ContentDigest) -> Result<OnShelf, ContentError> {
        let path = self.content().shelf_path(digest);
        let open = || {
            let file = File::open(&path)?;
            let size_bytes = file.metadata()?.len();
            Ok(OnShelf { file, size_bytes })
        };
        open().map_err(failed("open", &path))
    }

    /// A document on the shelf, whole.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read_shelved(&self, digest: &ContentDigest) -> Result<Vec<u8>, ContentError> {
        let path = self.content().shelf_path(digest);
        fs::read(&path).map_err(failed("read", &path))
    }

    /// Takes everything off the shelf that is neither held nor `needed`, which is asked once nothing
    /// can be added unseen; answers how many. Waits for the disk.
    ///
    /// # Errors
    /// When the shelf cannot be read.
    pub fn sweep_shelf(
        &self,
        needed: impl FnOnce() -> HashSet<ContentDigest>,
    ) -> Result<usize, ContentError> {
        let mut there = Vec::new();
        for algorithm in Algorithm::ALL {
            let any = ContentDigest::new(algorithm, &[]);
            for path in entries(&self.content().shelf_path(&any))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                there.extend(format!("{}:{name}", algorithm.as_str()).parse::<ContentDigest>());
            }
        }
        // Who is about to need something holds it first, and lets go once a record says so.
        let held = self.inner.shelf.held();
        there.retain(|digest| !held.contains_key(digest));
        if there.is_empty() {
            return Ok(0);
        }
        let needed = needed();
        let gone: Vec<_> = there
            .iter()
            .filter(|digest| !needed.contains(digest))
            .filter_map(|digest| self.content().discard(&self.content().shelf_path(digest)))
            .collect();
        drop(held);
        Ok(gone.len())
    }

    fn hold_shelved(&self, digest: &ContentDigest, size_bytes: u64) -> Shelved {
        *self.inner.shelf.held().entry(digest.clone()).or_default() += 1;
        Shelved {
            store: self.clone(),
            digest: digest.clone(),
            size_bytes,
        }
    }

    fn is_shelved(&self, digest: &ContentDigest) -> bool {
        self.content().shelf_path(digest).is_file()
    }

    /// Gives the first of `twins` that is there, or else the finished file, its name on the shelf, and
    /// makes it last.
    fn put_on_shelf(
        &self,
        finished: &Path,
        twins: &[std::path::PathBuf],
        digest: &ContentDigest,
    ) -> Result<(), ContentError> {
        let path = self.content().shelf_path(digest);
        let mut sources = twins.iter().map(|twin| twin.as_path()).chain([finished]);
        let linked = loop {
            let Some(source) = sources.next() else {
                break Err(io::ErrorKind::NotFound.into());
            };
            match File::open(source)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::hard_link(source, &path))
            {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break Ok(()),
                linked => break linked,
            }
        };
        linked.map_err(failed("link to", &path))?;
        self.content().flush_directory_of(&path)
    }
}

/// The digest of a text.
#[must_use]
pub fn digest_of(text: &[u8], algorithm: Algorithm) -> ContentDigest {
    match algorithm {
        Algorithm::Sha256 => Digest::of(text).to_content(),
        Algorithm::Sha512 => {
            ContentDigest::new(algorithm, ring::digest::digest(&SHA512, text).as_ref())
        }
    }
}

/// The SHA-512 of the first `size_bytes` of a file.
fn sha512(file: &File, size_bytes: u64) -> io::Result<ContentDigest> {
    use std::io::Seek as _;

    let mut file = file;
    file.rewind()?;
    let mut input = file.take(size_bytes);
    let mut context = Context::new(&SHA512);
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk)? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    Ok(ContentDigest::new(
        Algorithm::Sha512,
        context.finish().as_ref(),
    ))
}

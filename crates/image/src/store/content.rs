//! The store's files: where everything is, and how it gets there so that a crash leaves no half.
//!
//! `blobs/sha256/<hex>` configurations, manifests and layers as they came; `layers/<diff id>`
//! unpacked layers; `index.json` what is what; `registry/<algorithm>/<hex>` what the registry offers;
//! `caches/` what commands of builds keep; `staging/` whatever is not finished. Things are made in
//! `staging` and moved into place; the index is replaced last, and only it counts. Content that both
//! the engine and the registry have is one file with two names, so that each may drop its own without
//! asking the other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use model::digest::{Algorithm, ContentDigest};
use rustix::fs::FlockOperation;

use crate::digest::Digest;

/// Why something was not done to a file of the store.
#[derive(Debug, thiserror::Error)]
#[error("image store: {attempt} {}{}", path.display(), hint(source))]
pub struct ContentError {
    /// What was tried.
    pub attempt: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl ContentError {
    /// There is no room left on the disk.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        is_full(&self.source)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn hint(error: &io::Error) -> &'static str {
    if is_full(error) {
        ": the disk is full"
    } else {
        ""
    }
}

pub(crate) fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContentError {
    let path = path.to_owned();
    move |source| ContentError {
        attempt,
        path,
        source,
    }
}

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct Content {
    dir: PathBuf,
    /// Held as long as the store is open.
    _lock: File,
    /// Names of staged things begin with it, so that leftovers keep theirs while they are swept.
    generation: String,
    staged: AtomicU64,
}

/// Something that nobody needs, in `staging`; freed when dropped.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: PathBuf,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

/// A directory in `staging`; gone, with what is still in it, when dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    /// Opened before anything is written to it. The kernel tells of a failed write once whoever had
    /// opened something before, and others only where nobody has been told: so whoever writes has a
    /// descriptor of their own, and hears of it whatever else is flushed meanwhile.
    dir: File,
    leftover: Leftover,
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.leftover.path
    }

    /// Flushes everything that was written so far, to this directory or by way of it.
    pub(crate) fn flush(&self) -> Result<(), ContentError> {
        rustix::fs::syncfs(&self.dir).map_err(|errno| failed("flush", self.path())(errno.into()))
    }

    /// A new file in it.
    pub(crate) fn create(&self, name: &str) -> Result<(File, PathBuf), ContentError> {
        let path = self.path().join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        Ok((file.map_err(failed("create", &path))?, path))
    }

    /// A new directory in it, as the root of a layer.
    pub(crate) fn create_dir(&self, name: &str) -> Result<PathBuf, ContentError> {
        let path = self.path().join(name);
        fs::create_dir(&path).map_err(failed("make", &path))?;
        let mode = rustix::fs::Mode::from_raw_mode(0o755);
        rustix::fs::chmod(&path, mode)
            .map_err(|errno| failed("set mode of", &path)(errno.into()))?;
        Ok(path)
    }
}

impl Staging {
    /// A further name, in here, of a blob that is kept, be it by the registry; `None` where it is not.
    pub(crate) fn link_blob(&self, content: &Content, digest: &Digest) -> Option<PathBuf> {
        let path = self.path().join("blob");
        fs::hard_link(content.blob_path(digest), &path)
            .or_else(|_| fs::hard_link(content.shelf_path(&digest.to_content()), &path))
            .ok()?;
        Some(path)
    }
}

/// Removes what nobody needs; what cannot be removed is swept when the store is opened again.
fn remove_tree(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let removed = rooted::Root::open(parent)
        .map_err(|error| error.source)
        .and_then(|root| rooted::remove_entry(root.as_fd(), name));
    if let Err(errno) = removed {
        tracing::warn!(path = %path.display(), %errno, "image store: remove leftover");
    }
}

impl Content {
    /// Opens or makes the directory; `None` when another process has it.
    pub(crate) fn open(dir: &Path) -> Result<Option<Self>, ContentError> {
        let generation = jiff::Timestamp::now().as_nanosecond().to_string();
        let content = |lock| Self {
            dir: dir.to_owned(),
            _lock: lock,
            generation,
            staged: AtomicU64::new(0),
        };
        let shelves = Algorithm::ALL.map(|algorithm| format!("registry/{}", algorithm.as_str()));
        let own = ["blobs/sha256", "layers", "staging", "caches"].map(str::to_owned);
        for part in own.into_iter().chain(shelves) {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(failed("make", &path))?;
        }
        let private = rustix::fs::Mode::from_raw_mode(0o700);
        rustix::fs::chmod(dir, private)
            .map_err(|errno| failed("set mode of", dir)(errno.into()))?;
        let path = dir.join("lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(content(lock))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed("lock", &path)(errno.into())),
        }
    }

    pub(crate) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(diff_id.hex())
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn cache_path(&self, name: &Digest) -> PathBuf {
        self.dir.join("caches").join(name.hex())
    }

    /// Every cache of builds.
    pub(crate) fn caches(&self) -> Result<Vec<PathBuf>, ContentError> {
        entries(&self.dir.join("caches"))
    }

    /// Where the registry's name of some content is.
    pub(crate) fn shelf_path(&self, digest: &ContentDigest) -> PathBuf {
        let shelf = self.dir.join("registry").join(digest.algorithm().as_str());
        shelf.join(digest.hex())
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    fn new_staged_path(&self) -> PathBuf {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        self.dir
            .join("staging")
            .join(format!("{}-{number}", self.generation))
    }

    /// A new directory for unfinished things.
    pub(crate) fn staging(&self) -> Result<Staging, ContentError> {
        let path = self.new_staged_path();
        fs::create_dir(&path).map_err(failed("make", &path))?;
        let leftover = Leftover { path };
        let dir = File::open(&leftover.path).map_err(failed("open", &leftover.path))?;
        Ok(Staging { dir, leftover })
    }

    /// The content of a blob.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, ContentError> {
        let path = self.blob_path(digest);
        fs::read(&path).map_err(failed("read", &path))
    }

    /// Opens a blob.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(failed("open", &path))
    }

    /// Keeps a small blob, at once and for good.
    pub(crate) fn write_blob(&self, digest: &Digest, content: &[u8]) -> Result<(), ContentError> {
        if self.link_from_shelf(digest)? {
            return Ok(());
        }
        self.replace(&self.blob_path(digest), content)
    }

    /// Makes a finished file a blob; where the registry has the same content, it is that file.
    pub(crate) fn adopt_blob(&self, staged: &Path, digest: &Digest) -> Result<(), ContentError> {
        if self.link_from_shelf(digest)? {
            return Ok(());
        }
        self.adopt(staged, &self.blob_path(digest))
    }

    /// Gives what the registry has a name among the blobs, too; `false` where it has no such content.
    fn link_from_shelf(&self, digest: &Digest) -> Result<bool, ContentError> {
        let path = self.blob_path(digest);
        match fs::hard_link(self.shelf_path(&digest.to_content()), &path) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(true),
                io::ErrorKind::NotFound => Ok(false),
                _ => Err(failed("link to", &path)(error)),
            },
        }
    }

    /// Replaces a file as a whole: afterwards it is the old one or the new one, also after a power cut.
    pub(crate) fn replace(&self, path: &Path, content: &[u8]) -> Result<(), ContentError> {
        let staging = self.staging()?;
        let (mut file, staged) = staging.create("file")?;
        file.write_all(content).map_err(failed("write", &staged))?;
        file.sync_all().map_err(failed("flush", &staged))?;
        fs::rename(&staged, path).map_err(failed("rename to", path))?;
        self.flush_directory_of(path)
    }

    /// Makes a name last, be there a power cut.
    pub(crate) fn flush_directory_of(&self, path: &Path) -> Result<(), ContentError> {
        let parent = path.parent().unwrap_or(&self.dir);
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("flush", parent))
    }

    /// Moves a finished file or directory into place.
    pub(crate) fn adopt(&self, staged: &Path, path: &Path) -> Result<(), ContentError> {
        fs::rename(staged, path).map_err(failed("rename to", path))
    }

    /// Makes the names of layers and blobs last; what they hold was flushed when they got them.
    pub(crate) fn flush_names(&self) -> Result<(), ContentError> {
        ["layers", "blobs/sha256"].iter().try_for_each(|part| {
            let path = self.dir.join(part);
            File::open(&path)
                .and_then(|dir| dir.sync_all())
                .map_err(failed("flush", &path))
        })
    }

    /// Takes a layer or blob out of its place at once; what it held is freed when the answer is dropped.
    pub(crate) fn discard(&self, path: &Path) -> Option<Leftover> {
        let staged = self.new_staged_path();
        match fs::rename(path, &staged) {
            Ok(()) => Some(Leftover { path: staged }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "image store: take away");
                None
            }
        }
    }

    /// Takes away everything that is not kept, and frees it in the background.
    pub(crate) fn sweep(
        &self,
        keeps_layer: impl Fn(&Digest) -> bool,
        keeps_blob: impl Fn(&Digest) -> bool,
    ) -> Result<(), ContentError> {
        let mut gone = Vec::new();
        let staging = self.dir.join("staging");
        for entry in entries(&staging)? {
            gone.push(Leftover { path: entry });
        }
        gone.extend(self.discard_others("layers", keeps_layer)?);
        gone.extend(self.discard_others("blobs/sha256", keeps_blob)?);
        if !gone.is_empty() {
            tracing::info!(leftovers = gone.len(), "image store: sweeping");
            std::thread::spawn(move || drop(gone));
        }
        Ok(())
    }

    fn discard_others(
        &self,
        part: &str,
        keeps: impl Fn(&Digest) -> bool,
    ) -> Result<Vec<Leftover>, ContentError> {
        let digest = |path: &Path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .and_then(Digest::from_hex)
        };
        let others = entries(&self.dir.join(part))?
            .into_iter()
            .filter(|path| !digest(path).is_some_and(|digest| keeps(&digest)));
        Ok(others.filter_map(|path| self.discard(&path)).collect())
    }
}

/// What is in a directory.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, ContentError> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(failed("read", dir))
}

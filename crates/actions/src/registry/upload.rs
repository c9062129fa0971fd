//! Uploads of blobs: begun, added to in order, finished with a digest or cancelled.
//!
//! An upload is in memory, and its bytes in the content store's staging: a daemon that ends takes its
//! unfinished uploads with it, and a client is told that it has to begin again. One that nothing is
//! added to for long is dropped by [`super::collect`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::image::{AppendError, Upload, pipe};
use jiff::{SignedDuration, Timestamp};
use model::digest::ContentDigest;
use model::{Id, ProjectId};
use tokio::io::AsyncRead;
use tokio::sync::OwnedMutexGuard;

use super::visitor::Place;
use super::{RegistryError, RepositoryName, Right, Visitor, blob};
use crate::Cloud;

/// Unfinished uploads that a project may have.
const MOST_UPLOADS: usize = 1000;

/// Which bytes of the whole a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins; `None` is where the last one ended.
    pub begins_at: Option<u64>,
    /// Bytes of it, where they are known.
    pub bytes: Option<u64>,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which one.
    pub id: Id,
    /// Bytes that have come.
    pub has_bytes: u64,
}

/// The uploads under way.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Id, Arc<Session>>>);

struct Session {
    project: ProjectId,
    path: String,
    has_bytes: Arc<AtomicU64>,
    touched_at: Mutex<Timestamp>,
    /// `None` once it is finished. Whoever adds to it has the lock.
    upload: Arc<tokio::sync::Mutex<Option<Upload>>>,
}

impl Session {
    fn touch(&self, now: Timestamp) {
        *self
            .touched_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn touched_at(&self) -> Timestamp {
        *self
            .touched_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<Id, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is being pushed to a repository.
    pub(super) fn has_any(&self, project: ProjectId, path: &str) -> bool {
        let all = self.all();
        all.values()
            .any(|session| session.project == project && session.path == path)
    }

    /// Drops those that nothing is added to, and that nothing was added to since `since`.
    pub(super) fn drop_idle(&self, since: Timestamp) {
        self.all().retain(|_, session| {
            session.touched_at() > since || session.upload.try_lock().is_err()
        });
    }
}

/// Begins an upload.
///
/// # Errors
/// For who may not push; [`RegistryError::TooManyUploads`].
pub fn begin(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
) -> Result<Progress, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Push)?;
    let upload = cloud.images.begin_upload()?;
    let session = Session {
        project: place.project,
        path: place.name.path,
        has_bytes: Arc::default(),
        touched_at: Mutex::new(cloud.now()),
        upload: Arc::new(tokio::sync::Mutex::new(Some(upload))),
    };
    let mut all = cloud.registry.uploads.all();
    let count = all
        .values()
        .filter(|other| other.project == session.project)
        .count();
    if count >= MOST_UPLOADS {
        return Err(RegistryError::TooManyUploads(place.name.project));
    }
    let id = Id::random();
    all.insert(id, Arc::new(session));
    Ok(Progress { id, has_bytes: 0 })
}

/// How far an upload is.
///
/// # Errors
/// [`RegistryError::UploadUnknown`], and for who may not push.
pub fn status(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    id: Id,
) -> Result<Progress, RegistryError> {
    let (_, session) = find(cloud, visitor, name, id)?;
    Ok(Progress {
        id,
        has_bytes: session.has_bytes.load(Ordering::Relaxed),
    })
}

/// Adds a piece.
///
/// # Errors
/// As [`status`]; [`RegistryError::UploadOutOfOrder`] for one that does not begin where the last one
/// ended, of which nothing is added; [`RegistryError::BrokeOff`], [`RegistryError::SizeMismatch`] and
/// [`RegistryError::DiskFull`], after which the upload goes on from what has come.
pub async fn append(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    id: Id,
    piece: Piece,
    data: impl AsyncRead + Unpin + Send,
) -> Result<Progress, RegistryError> {
    let (_, session) = find(cloud, visitor, name, id)?;
    add(cloud, &session, piece, data).await?;
    Ok(Progress {
        id,
        has_bytes: session.has_bytes.load(Ordering::Relaxed),
    })
}

/// Adds the last piece, which may be empty, and offers the whole as a blob of the repository.
///
/// # Errors
/// As [`append`]; [`RegistryError::DigestMismatch`], after which the upload is gone.
pub async fn finish(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    id: Id,
    digest: &ContentDigest,
    piece: Piece,
    data: impl AsyncRead + Unpin + Send,
) -> Result<(), RegistryError> {
    let (place, session) = find(cloud, visitor, name, id)?;
    let mut guard = add(cloud, &session, piece, data).await?;
    let upload = guard.take().ok_or(RegistryError::UploadUnknown)?;
    cloud.registry.uploads.all().remove(&id);
    let (images, expected) = (cloud.images.clone(), digest.clone());
    let shelved = on_thread(move || images.shelve(upload, &expected)).await?;
    blob::offer(cloud, &place, digest, shelved).await
}

/// Uploads a blob at once.
///
/// # Errors
/// As [`begin`] and [`finish`]; nothing is left of it then.
pub async fn whole(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
    data: impl AsyncRead + Unpin + Send,
) -> Result<(), RegistryError> {
    let Progress { id, .. } = begin(cloud, visitor, name)?;
    let unfinished = Unfinished(cloud, id);
    let piece = Piece {
        begins_at: None,
        bytes: None,
    };
    let finished = finish(cloud, visitor, name, id, digest, piece, data).await;
    drop(unfinished);
    finished
}

/// Drops an upload that is over, whether or not it was finished, when this is dropped.
struct Unfinished<'a>(&'a Cloud, Id);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.registry.uploads.all().remove(&self.1);
    }
}

/// Ends an upload and frees what has come.
///
/// # Errors
/// As [`status`].
pub fn cancel(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    id: Id,
) -> Result<(), RegistryError> {
    find(cloud, visitor, name, id)?;
    cloud.registry.uploads.all().remove(&id);
    Ok(())
}

fn find(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    id: Id,
) -> Result<(Place, Arc<Session>), RegistryError> {
    let place = visitor.enter(cloud, name, Right::Push)?;
    let found = cloud.registry.uploads.all().get(&id).cloned();
    let session = found
        .filter(|session| session.project == place.project && session.path == place.name.path)
        .ok_or(RegistryError::UploadUnknown)?;
    session.touch(cloud.now());
    Ok((place, session))
}

/// Adds a piece; the answer is the lock on the upload, to which nothing else is added meanwhile.
async fn add(
    cloud: &Cloud,
    session: &Arc<Session>,
    piece: Piece,
    data: impl AsyncRead + Unpin + Send,
) -> Result<OwnedMutexGuard<Option<Upload>>, RegistryError> {
    let guard = Arc::clone(&session.upload).lock_owned().await;
    let has_bytes = guard
        .as_ref()
        .map(Upload::size_bytes)
        .ok_or(RegistryError::UploadUnknown)?;
    if let Some(begins_at) = piece.begins_at.filter(|begins_at| *begins_at != has_bytes) {
        return Err(RegistryError::UploadOutOfOrder {
            has_bytes,
            begins_at,
        });
    }
    let progress = Arc::clone(&session.has_bytes);
    let (guard, added) = pipe::feed_blocking(data, move |reader| {
        let mut guard = guard;
        let added = guard.as_mut().map(|upload| {
            let most = piece.bytes.unwrap_or(u64::MAX);
            let added = upload.append(reader, most, |bytes| {
                progress.store(bytes, Ordering::Relaxed);
            });
            added.map(|()| upload.size_bytes() - has_bytes)
        });
        (guard, added)
    })
    .await;
    session.touch(cloud.now());
    let came = added
        .ok_or(RegistryError::UploadUnknown)?
        .map_err(|error| match error {
            AppendError::Read(error) => {
                tracing::debug!(%error, "an upload broke off");
                RegistryError::BrokeOff
            }
            AppendError::TooLong { most_bytes } => RegistryError::SizeMismatch {
                said: most_bytes,
                came: most_bytes.saturating_add(1),
            },
            AppendError::Content(error) => error.into(),
        })?;
    match piece.bytes {
        Some(said) if said != came => Err(RegistryError::SizeMismatch { said, came }),
        Some(_) | None => Ok(guard),
    }
}

/// Does something that waits for the disk, to its end even when the client goes away.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Since when an upload must have been left alone to be dropped.
pub(super) fn idle_since(cloud: &Cloud) -> Timestamp {
    let idle = SignedDuration::from_secs(cloud.registry.settings.upload_idle_seconds);
    cloud.now() - idle
}

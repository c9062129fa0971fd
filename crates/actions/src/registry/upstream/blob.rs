//! Blobs of an upstream: each comes once, however many want it, and goes to all of them while it is
//! kept. A download goes on as long as one client wants it.
//!
//! The last byte is held back until the digest is right: who gets all of a blob gets the right one.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ::image::Upload;
use ::image::registry::{RelayError, Repository};
use bytes::Bytes;
use futures_util::{Stream, stream};
use model::ProjectId;
use model::digest::{Algorithm, ContentDigest};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Source;
use crate::Cloud;
use crate::registry::RegistryError;
use crate::registry::blob::offer;
use crate::registry::upload::on_thread;
use crate::registry::visitor::Place;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// The downloads under way, by project, path and digest.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<(ProjectId, String, ContentDigest), Weak<Flight>>>);

/// A blob on its way; it is given up when the last of those who hold this drops it.
#[derive(Debug)]
struct Flight {
    size_bytes: u64,
    file: Arc<File>,
    growth: watch::Receiver<Growth>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// So many bytes have come.
    Bytes(u64),
    /// All of it has come, is right and is kept.
    Done,
    /// It will not come.
    Broke,
}

/// A blob that is still coming.
#[derive(Debug)]
pub struct Arriving {
    flight: Arc<Flight>,
    growth: watch::Receiver<Growth>,
}

impl Arriving {
    fn new(flight: Arc<Flight>) -> Self {
        let growth = flight.growth.clone();
        Self { flight, growth }
    }

    /// Bytes of all of it.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.flight.size_bytes
    }

    /// `length` bytes from `offset` on, as they come; breaks off where the blob does.
    pub fn part(
        self,
        offset: u64,
        length: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(
            (self, offset, length),
            |(mut blob, offset, left)| async move {
                if left == 0 {
                    return Ok(None);
                }
                let until = blob.wait_past(offset).await?;
                let wanted = (until - offset).min(left).min(CHUNK);
                let length = usize::try_from(wanted).map_err(io::Error::other)?;
                let file = Arc::clone(&blob.flight.file);
                let piece = on_thread(move || {
                    let mut piece = vec![0; length];
                    file.read_exact_at(&mut piece, offset).map(|()| piece)
                });
                let piece = Bytes::from(piece.await?);
                Ok(Some((piece, (blob, offset + wanted, left - wanted))))
            },
        )
    }

    /// Waits until there is something after `offset`; answers how far it may be read.
    async fn wait_past(&mut self, offset: u64) -> io::Result<u64> {
        let size_bytes = self.flight.size_bytes;
        let readable = |bytes: u64| bytes.min(size_bytes.saturating_sub(1));
        let broke = || io::Error::new(io::ErrorKind::ConnectionAborted, "the blob broke off");
        let is_past = |growth: &Growth| match growth {
            Growth::Bytes(bytes) => readable(*bytes) > offset,
            Growth::Done | Growth::Broke => true,
        };
        let growth = self.growth.wait_for(is_past).await;
        match *growth.map_err(|_| broke())? {
            Growth::Bytes(bytes) => Ok(readable(bytes)),
            Growth::Done => Ok(size_bytes),
            Growth::Broke => Err(broke()),
        }
    }
}

/// Bytes of a blob, by the upstream.
///
/// # Errors
/// [`RegistryError::BlobUnknown`], [`RegistryError::Upstream`].
pub(in crate::registry) async fn size_bytes(
    cloud: &Cloud,
    source: &Source,
    digest: &ContentDigest,
) -> Result<u64, RegistryError> {
    find(cloud, source, digest).await.map(|(_, bytes)| bytes)
}

/// The repository that has a blob, and its bytes.
async fn find(
    cloud: &Cloud,
    source: &Source,
    digest: &ContentDigest,
) -> Result<(Arc<Repository>, u64), RegistryError> {
    let unknown = || RegistryError::BlobUnknown(digest.clone());
    if digest.algorithm() != Algorithm::Sha256 {
        return Err(unknown());
    }
    let found = async {
        let remote = source.talk(cloud).await?;
        let size_bytes = remote.blob_size(digest).await?;
        Ok((remote, size_bytes))
    };
    found.await.map_err(|error| source.failed(error, unknown))
}

/// Lets a blob come, or joins who does; `None` where it is here now.
///
/// # Errors
/// As [`size_bytes`]; [`RegistryError::DiskFull`].
pub(in crate::registry) async fn fetch(
    cloud: &Cloud,
    place: &Place,
    source: &Source,
    digest: &ContentDigest,
) -> Result<Option<Arriving>, RegistryError> {
    let key = (place.project, place.name.path.clone(), digest.clone());
    let flights = &cloud.registry.upstreams.flights;
    if let Some(flight) = flights.all().get(&key).and_then(Weak::upgrade) {
        return Ok(Some(Arriving::new(flight)));
    }
    // That the upstream lets us have it is asked even where the content is here for other reasons.
    let (remote, size_bytes) = find(cloud, source, digest).await?;
    if let Some(held) = at_hand(cloud, digest).await? {
        offer(cloud, place, digest, held).await?;
        return Ok(None);
    }
    let images = cloud.images.clone();
    let upload = on_thread(move || images.begin_upload()).await?;
    let file = upload.share().map_err(|error| {
        crate::ActionError::new(crate::ErrorKind::Internal, "share the file of a blob")
            .caused_by(error)
    })?;
    let mut all = flights.all();
    if let Some(flight) = all.get(&key).and_then(Weak::upgrade) {
        return Ok(Some(Arriving::new(flight)));
    }
    let (sender, growth) = watch::channel(Growth::Bytes(0));
    let coming = Coming {
        cloud: cloud.clone(),
        place: place.clone(),
        digest: digest.clone(),
        size_bytes,
    };
    let task = tokio::spawn(coming.take(remote, upload, Arc::new(sender)));
    let flight = Arc::new(Flight {
        size_bytes,
        file: Arc::new(file),
        growth,
        task: task.abort_handle(),
    });
    all.retain(|_, flight| flight.strong_count() > 0);
    all.insert(key, Arc::downgrade(&flight));
    Ok(Some(Arriving::new(flight)))
}

/// The content of a blob that another repository or the engine has.
async fn at_hand(
    cloud: &Cloud,
    digest: &ContentDigest,
) -> Result<Option<::image::Shelved>, RegistryError> {
    let (images, digest) = (cloud.images.clone(), digest.clone());
    let found = on_thread(move || match images.shelved(&digest) {
        Some(shelved) => Ok(Some(shelved)),
        None => images.shelve_own(&digest),
    });
    Ok(found.await?)
}

/// A blob that is to come.
struct Coming {
    cloud: Cloud,
    place: Place,
    digest: ContentDigest,
    size_bytes: u64,
}

impl Coming {
    /// Takes all of it, and tells how far it is.
    async fn take(
        self,
        remote: Arc<Repository>,
        upload: Upload,
        growth: Arc<watch::Sender<Growth>>,
    ) {
        let end = match self.keep(remote, upload, Arc::clone(&growth)).await {
            Ok(()) => Growth::Done,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    repository = %self.place.name,
                    blob = %self.digest,
                    "a blob of an upstream did not come"
                );
                Growth::Broke
            }
        };
        growth.send_replace(end);
    }

    async fn keep(
        &self,
        remote: Arc<Repository>,
        upload: Upload,
        growth: Arc<watch::Sender<Growth>>,
    ) -> Result<(), RegistryError> {
        let progress = move |bytes| {
            growth.send_replace(Growth::Bytes(bytes));
        };
        let relayed = remote.relay_blob(&self.digest, self.size_bytes, upload, progress);
        let upload = relayed.await.map_err(|error| match error {
            RelayError::Registry(source) => RegistryError::Upstream {
                registry: remote.address(),
                source: Arc::new(source),
            },
            RelayError::Append(::image::AppendError::Content(error)) => error.into(),
            RelayError::Append(error) => {
                let words = "an upstream's blob cannot be taken";
                crate::ActionError::new(crate::ErrorKind::Unavailable, words)
                    .caused_by(error)
                    .into()
            }
        })?;
        let (images, expected) = (self.cloud.images.clone(), self.digest.clone());
        let shelved = on_thread(move || images.shelve(upload, &expected)).await?;
        offer(&self.cloud, &self.place, &self.digest, shelved).await
    }
}

impl Flights {
    fn all(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(ProjectId, String, ContentDigest), Weak<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

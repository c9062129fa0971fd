//! Layers under way from a registry: each is downloaded once, however many pulls want it, and goes on
//! as long as one of them does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Store;
use super::arrival::{ArrivalError, Expected};
use super::layers::Pins;
use crate::digest::Digest;
use crate::pipe;
use crate::registry::{BlobStep, RegistryError, Repository, Wanted};

/// Progress is told after so many bytes.
const TOLD_EVERY: u64 = 512 << 10;

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerStage {
    /// It is to come.
    Queued,
    /// Others come first.
    Waiting,
    /// It comes.
    Downloading {
        /// Bytes that are here.
        current_bytes: u64,
    },
    /// It broke off, and is tried again.
    Retrying,
    /// All of it is here.
    Verifying,
    /// And it is what it should be.
    Downloaded,
    /// It is being unpacked.
    Extracting,
    /// It is in the store.
    Pulled,
}

/// Why a layer did not come.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What came.
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
}

/// What became of a layer.
type Outcome = Result<Arc<Pinned>, Arc<TransferError>>;

/// A transfer, as those see it who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) stage: LayerStage,
    pub(crate) outcome: Option<Outcome>,
}

/// A layer under way; it is given up when the last of those who hold this drops it.
#[derive(Debug)]
pub(crate) struct Transfer {
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pins that are dropped where it may wait for the disk.
#[derive(Debug)]
pub(crate) struct Pinned(Option<Pins>);

impl Pinned {
    pub(crate) fn new(pins: Pins) -> Self {
        Self(Some(pins))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let pins = self.0.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(pins))),
            Err(_) => drop(pins),
        }
    }
}

/// All layers under way, by the digest of their blob.
#[derive(Debug, Default)]
pub(super) struct Transfers(Mutex<HashMap<Digest, Weak<Transfer>>>);

impl Transfer {
    /// Waits for the layer; tells every stage that is seen.
    pub(crate) async fn finished(&self, tell: impl Fn(LayerStage)) -> Outcome {
        let mut progress = self.progress.clone();
        loop {
            let seen = progress.borrow_and_update().clone();
            tell(seen.stage);
            if let Some(outcome) = seen.outcome {
                return outcome;
            }
            if progress.changed().await.is_err() {
                // Its task panicked; the log says why.
                return Err(Arc::new(RegistryError::Abandoned.into()));
            }
        }
    }
}

impl Store {
    /// Joins the transfer of a layer, or begins it.
    pub(crate) fn transfer(
        &self,
        repository: &Arc<Repository>,
        wanted: Wanted,
        diff_id: Digest,
    ) -> Arc<Transfer> {
        let mut transfers = self
            .inner
            .transfers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = transfers.get(&wanted.digest).and_then(Weak::upgrade) {
            return known;
        }
        let (sender, progress) = watch::channel(Progress {
            stage: LayerStage::Queued,
            outcome: None,
        });
        let (store, repository) = (self.clone(), Arc::clone(repository));
        let task = tokio::spawn(async move {
            let sender = Arc::new(sender);
            let fetched = store
                .fetch_layer(&repository, wanted, diff_id, &sender)
                .await;
            let stage = match &fetched {
                Ok(_) => LayerStage::Pulled,
                Err(_) => sender.borrow().stage,
            };
            let outcome = fetched
                .map(|pins| Arc::new(Pinned::new(pins)))
                .map_err(Arc::new);
            sender.send_replace(Progress {
                stage,
                outcome: Some(outcome),
            });
        });
        let transfer = Arc::new(Transfer {
            progress,
            task: task.abort_handle(),
        });
        transfers.retain(|_, transfer| transfer.strong_count() > 0);
        transfers.insert(wanted.digest, Arc::downgrade(&transfer));
        transfer
    }

    /// Downloads, checks and unpacks a layer.
    async fn fetch_layer(
        &self,
        repository: &Repository,
        wanted: Wanted,
        diff_id: Digest,
        progress: &Arc<watch::Sender<Progress>>,
    ) -> Result<Pins, TransferError> {
        let expected = Expected {
            blob: wanted.digest,
            diff_id,
        };
        let store = self.clone();
        let at_hand = blocking(move || store.take_layer_at_hand(expected)).await;
        if let Some(taken) = at_hand {
            return Ok(taken.map_err(ArrivalError::from)?);
        }
        let tell = |stage| {
            progress.send_modify(|progress| progress.stage = stage);
        };
        let leave = repository.registries().downloads();
        let _leave = match Arc::clone(&leave).try_acquire_owned() {
            Ok(leave) => Ok(leave),
            Err(_) => {
                tell(LayerStage::Waiting);
                leave.acquire_owned().await
            }
        };
        tell(LayerStage::Downloading { current_bytes: 0 });
        let (sender, reader) = pipe::chunks_inward();
        let store = self.clone();
        let taking = tokio::task::spawn_blocking(move || store.take_layer(reader, expected));
        let told_bytes = AtomicU64::new(0);
        let report = |step| match step {
            BlobStep::Received(current_bytes) => {
                let is_worth_it = current_bytes == wanted.size_bytes
                    || current_bytes - told_bytes.load(Ordering::Relaxed) >= TOLD_EVERY;
                if is_worth_it {
                    told_bytes.store(current_bytes, Ordering::Relaxed);
                    tell(LayerStage::Downloading { current_bytes });
                }
            }
            BlobStep::Again => tell(LayerStage::Retrying),
        };
        let sent = repository.download(wanted, &sender, &report).await;
        drop(sender);
        if sent.is_ok() {
            tell(LayerStage::Extracting);
        }
        let taken = match taking.await {
            Ok(taken) => taken,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match sent {
            // The taker went first: it says why.
            Ok(()) | Err(RegistryError::Abandoned) => Ok(taken?),
            Err(error) => Err(error.into()),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

//! From "survives the process" to "survives a power cut": one flush for all who wait.
//!
//! A commit of the embedded backend is in the kernel's page cache. A thread of its own calls
//! `fdatasync` on the write-ahead log; while one call runs, further waiters gather for the next.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::watch;

/// A promise that one commit will survive a power cut.
#[derive(Clone)]
pub struct Durable(Option<Waiter>);

#[derive(Clone)]
struct Waiter {
    commit: u64,
    flusher: Arc<Flusher>,
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Durable")
            .field(&self.0.as_ref().map(|waiter| waiter.commit))
            .finish()
    }
}

/// Why it is not known whether commits would survive a power cut.
///
/// The kernel tells of a failed flush once and may forget the data, so it is never tried again:
/// the store stays like this until it is opened anew.
#[derive(Clone, Debug, thiserror::Error)]
#[error("flush the store's log to the disk")]
pub struct FlushError(#[source] Arc<io::Error>);

impl Durable {
    pub(crate) const fn already() -> Self {
        Self(None)
    }

    pub(crate) const fn once_flushed(commit: u64, flusher: Arc<Flusher>) -> Self {
        Self(Some(Waiter { commit, flusher }))
    }

    /// Flushes, together with all who wait now, and answers when the commit is on the disk.
    ///
    /// # Errors
    /// Fails where the disk refused this flush or an earlier one.
    pub async fn wait(self) -> Result<(), FlushError> {
        let Some(Waiter { commit, flusher }) = self.0 else {
            return Ok(());
        };
        let mut progress = flusher.progress.subscribe();
        flusher.ask_for(commit);
        loop {
            let now = progress.borrow_and_update().clone();
            if now.flushed >= commit {
                return Ok(());
            }
            if let Some(error) = now.failed {
                return Err(error);
            }
            // The sender lives in the flusher, which is held here.
            if progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The thread's side and the waiters' side of flushing one log.
pub(crate) struct Flusher {
    wishes: Mutex<Wishes>,
    wished: Condvar,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Wishes {
    /// The newest commit that was written.
    written: u64,
    /// The newest commit that someone wants on the disk.
    wanted: u64,
    /// No more will come.
    closing: bool,
}

#[derive(Clone, Default)]
struct Progress {
    /// The newest commit that is on the disk.
    flushed: u64,
    failed: Option<FlushError>,
}

impl Flusher {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            wishes: Mutex::default(),
            wished: Condvar::new(),
            progress: watch::Sender::default(),
        })
    }

    /// Notes that a commit is in the page cache.
    pub(crate) fn written(&self, commit: u64) {
        self.lock().written = commit;
    }

    /// Asks for a commit to be on the disk.
    pub(crate) fn ask_for(&self, commit: u64) {
        let mut wishes = self.lock();
        if wishes.wanted < commit {
            wishes.wanted = commit;
            self.wished.notify_one();
        }
    }

    /// Lets the thread end, after what is asked for is done.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wished.notify_one();
    }

    /// The thread: flushes `log` whenever somebody waits.
    pub(crate) fn run(&self, log: &File) {
        let mut flushed = 0;
        while let Some(written) = self.next(flushed) {
            match log.sync_data() {
                Ok(()) => {
                    flushed = written;
                    self.progress
                        .send_modify(|progress| progress.flushed = written);
                }
                Err(error) => {
                    tracing::error!(%error, "the store's log cannot be flushed; writes may not survive a power cut");
                    let failed = FlushError(Arc::new(error));
                    self.progress
                        .send_modify(|progress| progress.failed = Some(failed));
                    return;
                }
            }
        }
    }

    /// Waits for a wish past `flushed`; answers what is written now, or `None` at the end.
    fn next(&self, flushed: u64) -> Option<u64> {
        let mut wishes = self.lock();
        loop {
            if wishes.wanted > flushed {
                return Some(wishes.written);
            }
            if wishes.closing {
                return None;
            }
            wishes = self
                .wished
                .wait(wishes)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

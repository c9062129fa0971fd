//! Archives that clients before buildx send by a request of their own, for the build that they ask for by
//! another.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use actions::build::Context;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{oneshot, watch};
use tonic::Status;

use crate::error::ApiError;

/// How long either side waits for the other: a client sends both at once.
const PATIENCE: Duration = Duration::from_secs(6);

/// Archives that nobody has taken, by the name of their build.
#[derive(Default)]
pub(super) struct Uploads {
    offered: Arc<Mutex<HashMap<String, Taken>>>,
    changed: watch::Sender<()>,
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

/// An archive; whoever sends it hears when it is dropped.
struct Taken {
    archive: Context,
    /// Closed as soon as it is taken...
    offered: Option<oneshot::Sender<()>>,
    /// ...and as soon as it is no more.
    _done: oneshot::Sender<()>,
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.archive).poll_read(cx, buf)
    }
}

/// Takes an offer back where nobody took it.
struct Offer<'a> {
    uploads: &'a Uploads,
    build: &'a str,
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        let left = self.uploads.offered().remove(self.build);
        drop(left);
    }
}

impl Uploads {
    fn offered(&self) -> MutexGuard<'_, HashMap<String, Taken>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an archive until its build has read it.
    pub(super) async fn offer(&self, build: &str, archive: Context) -> Result<(), ApiError> {
        let (offered, is_taken) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel::<()>();
        let taken = Taken {
            archive,
            offered: Some(offered),
            _done: done,
        };
        {
            let mut offered = self.offered();
            if offered.contains_key(build) {
                return Err(ApiError::conflict(format!(
                    "an archive for build {build} is there already"
                )));
            }
            offered.insert(build.to_owned(), taken);
        }
        let offer = Offer {
            uploads: self,
            build,
        };
        self.changed.send_replace(());
        if tokio::time::timeout(PATIENCE, is_taken).await.is_err() {
            return Err(ApiError::not_found(format!("no such build: {build}")));
        }
        // Nothing is sent: it ends with the archive.
        drop(is_done.await);
        drop(offer);
        Ok(())
    }

    /// The archive of this build, as soon as it is there.
    pub(super) async fn take(&self, build: &str) -> Result<Context, Status> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                let taken = self.offered().remove(build);
                if let Some(taken) = taken {
                    return Some(taken);
                }
                // The sender lives as long as the front end.
                changed.changed().await.ok()?;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
        let mut taken = found
            .ok_or_else(|| Status::not_found(format!("no archive was sent for build {build}")))?;
        drop(taken.offered.take());
        Ok(Box::new(taken))
    }
}

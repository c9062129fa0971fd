//! Waiting for what changes.

use std::any::Any;
use std::sync::Arc;

use model::{Id, Kind};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::Revision;
use crate::record::{Part, Record};
use crate::view::View;

/// A record that was written or deleted.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which noun.
    pub kind: Kind,
    /// Which part of its truth.
    pub part: Part,
    /// Which object.
    pub id: Id,
    /// The commit that did it.
    pub revision: Revision,
    /// The record is gone.
    pub deleted: bool,
    /// The record as this commit wrote it, or as it was before it was deleted.
    pub(crate) record: Option<Arc<dyn Any + Send + Sync>>,
}

impl Change {
    /// The record as this commit wrote it, or as it was before it was deleted. `None` where it is
    /// of another type.
    #[must_use]
    pub fn value<R: Record>(&self) -> Option<Arc<R>> {
        Arc::clone(self.record.as_ref()?).downcast().ok()
    }
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A record changed.
    Changed(Change),
    /// The watcher was too slow and missed changes: it must look at everything again.
    Resync,
}

/// Everything that changes, in order.
pub struct Watch {
    changes: broadcast::Receiver<Change>,
    // Keeps the sender, so that a watch never ends.
    _view: Arc<View>,
}

impl Watch {
    pub(crate) fn new(view: &Arc<View>) -> Self {
        Self {
            changes: view.changes.subscribe(),
            _view: Arc::clone(view),
        }
    }

    /// The next change. Safe to drop and call again.
    pub async fn next(&mut self) -> Notice {
        match self.changes.recv().await {
            Ok(change) => Notice::Changed(change),
            Err(RecvError::Lagged(_)) => Notice::Resync,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// That one object changes. Changes in quick succession are told once.
pub struct ObjectWatch {
    changed: Option<watch::Receiver<Revision>>,
    view: Arc<View>,
    id: Id,
}

impl ObjectWatch {
    pub(crate) fn new(view: &Arc<View>, id: Id) -> Self {
        Self {
            changed: Some(view.subscribe(id)),
            view: Arc::clone(view),
            id,
        }
    }

    /// Waits until a commit changed any part of the object since the last call (or, the first
    /// time, since the watch was made) and answers its number. Safe to drop and call again.
    pub async fn changed(&mut self) -> Revision {
        if let Some(receiver) = &mut self.changed
            && receiver.changed().await.is_ok()
        {
            return *receiver.borrow_and_update();
        }
        std::future::pending().await
    }
}

impl Drop for ObjectWatch {
    fn drop(&mut self) {
        drop(self.changed.take());
        self.view.unsubscribe(self.id);
    }
}

//! A backend that lasts as long as the process: for tests, and for trying things out.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::Backend;
use super::durable::Durable;
use crate::transaction::{Batch, CommitError};
use crate::view::View;
use crate::{Committed, Revision};

/// The view is all there is.
pub(crate) struct Memory {
    view: Arc<View>,
    // One batch at a time: between its check and its application no other may come.
    turn: Mutex<()>,
}

impl Memory {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            turn: Mutex::new(()),
        }
    }
}

#[async_trait]
impl Backend for Memory {
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.view.check(&batch)?;
        let revision = Revision(self.view.revision().0 + 1);
        self.view.apply(revision, batch.writes);
        Ok(Committed {
            revision,
            durable: Durable::already(),
        })
    }
}

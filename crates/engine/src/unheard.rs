//! Starts that were not heard the end of, because the connection to the keeper broke meanwhile.
//!
//! They have failed for whoever asked, so what the keeper may have of them is ended and forgotten:
//! when there is a connection again, and at the latest before the instance is started again.

use std::sync::Arc;
use std::time::Duration;

use model::Id;
use model::instance::Failure;
use runtime::keeper::{CallError, ProcessKey, Refusal};
use tokio::time::Instant;

use crate::failure::internal;
use crate::host::Inner;

/// How long the keeper may take to start and end such a process.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// Pause before it is asked again.
const SETTLE_PAUSE: Duration = Duration::from_millis(5);

/// There is a keeper again.
pub(crate) fn settle_all(inner: &Arc<Inner>) {
    for id in inner.runs.unheard() {
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            let _turn = inner.runs.turn(id).await;
            if let Err(failure) = inner.settle(id).await {
                tracing::warn!(instance = %id, %failure, "the keeper may have a process of a start that broke off");
            }
        });
    }
}

impl Inner {
    /// Ends and forgets what the keeper may have of a start of this instance. In its turn.
    pub(crate) async fn settle(&self, id: Id) -> Result<(), Failure> {
        if !self.runs.unheard().contains(&id) {
            return Ok(());
        }
        let key = ProcessKey::container(id.simple());
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            match self.keeper().forget(&key).await {
                Ok(()) => break,
                Err(CallError::Refused(Refusal::Running(_))) if Instant::now() < deadline => {}
                Err(error) => return Err(internal(&error)),
            }
            // Refused while it starts, and once it has ended.
            drop(self.keeper().signal(&key, libc::SIGKILL).await);
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        self.runs.take_unheard(id);
        Ok(())
    }
}

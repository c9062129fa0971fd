//! Writes down what is seen of a thing: for the reconcilers of what is no instance.

use model::Id;
use store::record::Record;
use store::{CommitError, Store};

/// Writes a status, unless it is known: a write wakes everybody who waits.
pub(crate) async fn note<R: Record + PartialEq>(
    store: &Store,
    id: Id,
    status: R,
) -> Result<(), CommitError> {
    let known = store.get::<R>(id);
    if known.is_some_and(|known| *known.value == status) {
        return Ok(());
    }
    let mut batch = store.transaction();
    batch.put(id, status);
    store.commit(batch).await.map(drop)
}

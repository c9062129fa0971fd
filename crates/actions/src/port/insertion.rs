//! Writes a port that is thought out, and waits until it has its addresses; one that gets none is
//! taken back. Used for ports of users, and for those that the cloud makes for routers and
//! floating addresses.

use std::sync::Arc;
use std::time::Duration;

use model::port::{Allotment, AllotmentRefusal, Port};

use super::{View, view};
use crate::{ActionError, Cloud, durable, instance, quota};

/// How long the placement controller may take to give addresses.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(30);

/// Why a port was not made; nothing is left of it.
pub(crate) enum Uninserted {
    /// Its network or its project's quota were changed meanwhile: look again.
    NetworkChanged,
    /// It cannot have its addresses.
    Refused(AllotmentRefusal),
    /// Anything else.
    Failed(ActionError),
}

/// Writes a batch that makes a port, and waits for its addresses. What the batch makes beside it
/// is the caller's to take back.
pub(crate) async fn insert(
    cloud: &Cloud,
    transaction: store::Transaction,
    port: &Port,
) -> Result<View, Uninserted> {
    let id = port.meta.id;
    let waiter = cloud.observer.waiter(id);
    let committed = match cloud.store.commit(transaction).await {
        Ok(committed) => committed,
        Err(store::CommitError::Conflict {
            kind: model::Kind::Network,
            ..
        }) => return Err(Uninserted::NetworkChanged),
        Err(error) if quota::is_contended(&error) => return Err(Uninserted::NetworkChanged),
        Err(error) => return Err(Uninserted::Failed(error.into())),
    };
    let allotment = allotment(cloud, &waiter, port);
    let (allotment, flushed) = tokio::join!(allotment, durable(committed.durable));
    let refusal = match allotment.and_then(|allotment| flushed.map(|()| allotment)) {
        Ok(allotment) => match allotment.refusal {
            None => return Ok(view(cloud, Arc::new(port.clone()))),
            Some(refusal) => Uninserted::Refused(refusal),
        },
        Err(error) => Uninserted::Failed(error),
    };
    let mut transaction = cloud.store.transaction();
    transaction
        .delete::<Port>(id, None)
        .delete::<Allotment>(id, None);
    match cloud.commit(transaction).await {
        Ok(_) => Err(refusal),
        Err(error) => Err(Uninserted::Failed(error)),
    }
}

/// Waits until a port's wishes are decided.
pub(super) async fn allotment(
    cloud: &Cloud,
    waiter: &crate::observer::Waiter,
    port: &Port,
) -> Result<Arc<Allotment>, ActionError> {
    let decided = waiter.until(|| {
        let allotment = cloud.store.get::<Allotment>(port.meta.id)?.value;
        (allotment.generation >= port.meta.generation).then_some(allotment)
    });
    instance::within(ADDRESSES_WITHIN, decided).await
}

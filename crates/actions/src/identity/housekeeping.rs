//! What has to be done from time to time: newer keys, and forgetting what has expired.
//!
//! The binary runs it for as long as it lives.

use std::time::Duration;

use model::revocation::Revocation;

use super::key_ring;
use crate::{ActionError, Cloud};

/// How often.
const EVERY: Duration = Duration::from_secs(3600);

/// Does what is due, again and again.
pub async fn run(cloud: Cloud) {
    loop {
        if let Err(error) = once(&cloud).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "housekeeping failed, to be tried again"
            );
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(cloud: &Cloud) -> Result<(), ActionError> {
    key_ring::turn(cloud).await?;
    let now = cloud.now();
    let mut transaction = cloud.store.transaction();
    for revocation in cloud.all::<Revocation>(|revocation| revocation.expires_at < now) {
        transaction.delete::<Revocation>(revocation.meta.id, None);
    }
    super::trust::forget(cloud, &mut transaction, |trust| trust.has_expired(now));
    cloud.commit(transaction).await.map(drop)
}

//! The keys that tokens are sealed with: made at first start, and made anew as time goes by.
//!
//! A key is dropped once everything that it sealed has expired, so a rotation takes no token away.

use jiff::{SignedDuration, Timestamp};
use model::key_ring::{Key, KeyRing};
use model::{Meta, ProjectId};
use rand::RngExt as _;
use store::Versioned;

use crate::{ActionError, Cloud, ErrorKind};

/// Name of the ring that tokens are sealed with.
const TOKENS: &str = "tokens";
/// A newer key seals after this.
const ROTATE_AFTER: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The ring.
///
/// # Errors
/// [`ErrorKind::Unavailable`] before the first start has made it.
pub(super) fn tokens(cloud: &Cloud) -> Result<Versioned<KeyRing>, ActionError> {
    cloud
        .store
        .by_name::<KeyRing>(ProjectId::SYSTEM, TOKENS)
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::Unavailable,
                "there is no key to seal tokens with yet; try again",
            )
        })
}

/// Makes the ring, or turns it where its newest key is old.
///
/// # Errors
/// When the store fails.
pub(super) async fn turn(cloud: &Cloud) -> Result<(), ActionError> {
    let now = cloud.now();
    let mut transaction = cloud.store.transaction();
    match tokens(cloud) {
        Err(_) => {
            let meta = Meta::new(TOKENS, ProjectId::SYSTEM, now);
            let keys = vec![fresh(now)];
            transaction.insert(meta.id, KeyRing { meta, keys });
        }
        Ok(found) => {
            let lifetime = SignedDuration::from_secs(cloud.identity.settings.token_seconds);
            let Some(keys) = turned(&found.value.keys, now, lifetime) else {
                return Ok(());
            };
            let ring = KeyRing {
                meta: found.value.meta.clone(),
                keys,
            };
            transaction.update(ring.meta.id, found.revision, ring);
        }
    }
    match cloud.commit_durably(transaction).await {
        // Somebody else did it meanwhile.
        Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::AlreadyExists) => {
            Ok(())
        }
        done => done,
    }
}

/// The keys after a rotation; `None` where none is due.
fn turned(keys: &[Key], now: Timestamp, token_lifetime: SignedDuration) -> Option<Vec<Key>> {
    let newest = keys.first()?;
    if now.duration_since(newest.since) < ROTATE_AFTER {
        return None;
    }
    let mut turned = vec![fresh(now)];
    // What a key sealed was sealed before the next one came.
    let mut until = now;
    for key in keys {
        if now.duration_since(until) <= token_lifetime {
            turned.push(key.clone());
        }
        until = key.since;
    }
    Some(turned)
}

fn fresh(now: Timestamp) -> Key {
    Key {
        secret: rand::rng().random(),
        since: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_until_what_it_sealed_has_expired() {
        let start = Timestamp::UNIX_EPOCH;
        let hour = SignedDuration::from_hours(1);
        let keys = vec![fresh(start)];
        assert!(turned(&keys, start + hour, hour).is_none());
        let second = turned(&keys, start + ROTATE_AFTER, hour).unwrap();
        assert_eq!(second.len(), 2);
        assert_eq!(second[1], keys[0]);
        let third = turned(&second, start + ROTATE_AFTER * 2, hour).unwrap();
        assert_eq!(third.len(), 2);
        assert_eq!(third[1], second[0]);
    }
}

//! Notes: what somebody may come back with, sealed as tokens are, so that nothing of it is kept.
//!
//! A note names what it is for, so that it is good for nothing else, and is no user's token. The
//! consoles of servers are opened by one.

use jiff::Timestamp;
use model::Id;

use super::{fernet, key_ring};
use crate::{ActionError, Cloud, ErrorKind};

/// Bytes of an identity, and of a time.
const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;

/// Seals that `id` may be come back with, until `ends_at`.
///
/// # Errors
/// [`ErrorKind::Unavailable`] before the first start has made keys.
pub(crate) fn seal(
    cloud: &Cloud,
    purpose: &str,
    id: Id,
    ends_at: Timestamp,
) -> Result<String, ActionError> {
    let ring = key_ring::tokens(cloud)?;
    let key = ring.value.keys.first().ok_or_else(|| {
        ActionError::new(ErrorKind::Unavailable, "there is no key to seal with yet")
    })?;
    let mut text = begin(purpose);
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(&ends_at.as_second().to_be_bytes());
    let now = u64::try_from(cloud.now().as_second()).unwrap_or_default();
    Ok(fernet::seal(key, now, rand::random(), &text))
}

/// What a note for this purpose says. `None` for anything else.
pub(crate) fn open(cloud: &Cloud, purpose: &str, note: &str) -> Option<(Id, Timestamp)> {
    let ring = key_ring::tokens(cloud).ok()?;
    let text = fernet::open(&ring.value.keys, note)?;
    let rest = text.strip_prefix(begin(purpose).as_slice())?;
    let (id, seconds) = rest.split_at_checked(ID_BYTES)?;
    let seconds: [u8; TIME_BYTES] = seconds.try_into().ok()?;
    let ends_at = Timestamp::from_second(i64::from_be_bytes(seconds)).ok()?;
    Some((Id::from_bytes(id.try_into().ok()?), ends_at))
}

/// No user's token begins so.
fn begin(purpose: &str) -> Vec<u8> {
    format!("note:{purpose}:").into_bytes()
}

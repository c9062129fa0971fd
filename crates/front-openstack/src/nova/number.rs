//! Identities as numbers, which Nova had before it had UUIDs and still has for some things.

use model::Id;

/// The number of an identity: 31 of its bits, of which any are as good as others.
pub(super) fn of(id: Id) -> u32 {
    let [.., a, b, c, d] = *id.as_bytes();
    u32::from_be_bytes([a, b, c, d]) >> 1
}

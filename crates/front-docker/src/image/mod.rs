//! Images of the local content store.

mod commit;
pub(crate) mod credentials;
mod distribution;
pub(crate) mod lookup;
mod progress;
mod prune;
mod pull;
mod push;
pub(crate) mod routes;
mod search;
mod transfer;
pub(crate) mod translate;
mod wire;

pub(crate) use pull::platform_of;

/// Twelve digits of a digest.
fn short_digest(digest: &str) -> String {
    digest
        .rsplit(':')
        .next()
        .unwrap_or(digest)
        .chars()
        .take(12)
        .collect()
}

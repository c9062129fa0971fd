//! Which of the things that builds left are removed, whichever protocol asks for it.

use actions::ActionError;
use actions::build::{self, CachedStep};
use jiff::Timestamp;

use crate::front::At;

/// What is to be removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prune {
    /// Also what an image has.
    pub(crate) all: bool,
    /// Only what was not used since.
    pub(crate) before: Option<Timestamp>,
    /// So many bytes may stay.
    pub(crate) keep_bytes: Option<u64>,
    /// Only what begins with one of these.
    pub(crate) ids: Option<Vec<String>>,
}

/// Removes it; answers what is gone, and the bytes that are free.
pub(crate) async fn prune_chosen(
    at: &At,
    prune: &Prune,
) -> Result<(Vec<CachedStep>, u64), ActionError> {
    let steps = build::cached(&at.cloud, &at.caller);
    let mut kept_bytes: u64 = steps.iter().map(|step| step.size_bytes).sum();
    let mut gone = Vec::new();
    for step in steps {
        let is_old = prune.before.is_none_or(|before| step.used_at < before);
        let begins = |id: &String| step.key.starts_with(id.as_str());
        let is_named = prune.ids.as_ref().is_none_or(|ids| ids.iter().any(begins));
        let is_too_much = prune.keep_bytes.is_none_or(|most| kept_bytes > most);
        if is_old && is_named && is_too_much && (prune.all || !step.is_shared) {
            kept_bytes = kept_bytes.saturating_sub(step.size_bytes);
            gone.push(step);
        }
    }
    let is_limited = prune.before.is_some() || prune.ids.is_some() || prune.keep_bytes.is_some();
    let caches = prune.all && !is_limited;
    let keys = gone.iter().map(|step| step.key.clone()).collect();
    let freed = build::prune(&at.cloud, &at.caller, keys, caches).await?;
    Ok((gone, freed))
}

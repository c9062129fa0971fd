//! What every operation has at hand.

use actions::Cloud;
use actions::registry::{RepositoryName, Visitor};
use http::HeaderMap;

use crate::query::Query;

/// The surroundings of a request that is about a repository.
pub(crate) struct At<'a> {
    pub(crate) cloud: &'a Cloud,
    /// Who asks.
    pub(crate) visitor: Visitor,
    /// Which repository.
    pub(crate) name: RepositoryName,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
}

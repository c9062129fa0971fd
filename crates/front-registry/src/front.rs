//! What every operation has at hand.

use actions::Cloud;
use actions::registry::{RepositoryName, Visitor};
use axum::extract::FromRef;
use http::HeaderMap;

use crate::query::Query;

/// How the registry is reached.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// By HTTPS: clients are sent to the tokens' endpoint by the same.
    pub is_tls: bool,
}

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Settings,
}

impl FromRef<Front> for Cloud {
    fn from_ref(front: &Front) -> Self {
        front.cloud.clone()
    }
}

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

//! What every handler has at hand: the cloud, who asks, with which token, and which parameters.

use std::sync::Arc;

use actions::identity::token::Session;
use actions::{Caller, Cloud};
use axum::extract::FromRequestParts;
use axum::response::Response;
use edge::observe::RequestId;
use http::HeaderMap;
use http::request::Parts;

use crate::microversion::Agreed;
use crate::query::Query;
use crate::service::Settings;

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Arc<Settings>,
}

/// The surroundings of a request that needs no token.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Arc<Settings>,
    pub(crate) query: Query,
}

impl FromRequestParts<Front> for Open {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Self::Rejection> {
        Ok(Self {
            cloud: front.cloud.clone(),
            settings: Arc::clone(&front.settings),
            query: Query::parse(&parts.uri),
        })
    }
}

/// The surroundings of a request with a token.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Arc<Settings>,
    pub(crate) query: Query,
    /// Who asks.
    pub(crate) caller: Caller,
    /// What their token stands for.
    pub(crate) session: Arc<Session>,
    pub(crate) headers: HeaderMap,
    /// The part after the dot of the microversion that was agreed on; 0 where a service has none.
    pub(crate) minor: u16,
}

impl FromRequestParts<Front> for At {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Self::Rejection> {
        // Put there by the layer around every route that is not open.
        let session = parts
            .extensions
            .get::<Arc<Session>>()
            .cloned()
            .ok_or_else(|| crate::auth::refusal(&front.settings))?;
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map_or_else(String::new, |id| id.0.clone());
        Ok(Self {
            cloud: front.cloud.clone(),
            settings: Arc::clone(&front.settings),
            query: Query::parse(&parts.uri),
            caller: session.caller(request_id),
            session,
            headers: parts.headers.clone(),
            minor: parts
                .extensions
                .get::<Agreed>()
                .map_or(0, |agreed| agreed.0),
        })
    }
}

//! What every handler has at hand: the cloud, who asks, in which version, with which parameters.

use std::sync::Arc;

use actions::{Caller, Cloud};
use axum::extract::FromRequestParts;
use edge::observe::RequestId;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::Settings;
use crate::error::ApiError;
use crate::query::Form;
use crate::version::Version;

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Arc<Settings>,
    /// Connections of clients that build with buildx.
    pub(crate) connections: Arc<crate::buildkit::Connections>,
}

/// One request's surroundings.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) cloud: Cloud,
    pub(crate) settings: Arc<Settings>,
    pub(crate) caller: Caller,
    pub(crate) version: Version,
    pub(crate) form: Form,
    pub(crate) connections: Arc<crate::buildkit::Connections>,
}

/// Parts of the path, as [`axum::extract::Path`], refused in this API's envelope.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}

impl FromRequestParts<Front> for At {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Self::Rejection> {
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map_or_else(String::new, |id| id.0.clone());
        Ok(Self {
            cloud: front.cloud.clone(),
            settings: front.settings.clone(),
            caller: Caller::operator(request_id),
            version: parts
                .extensions
                .get::<Version>()
                .copied()
                .unwrap_or(Version::MAX),
            form: Form::parse(&parts.uri)?,
            connections: Arc::clone(&front.connections),
        })
    }
}

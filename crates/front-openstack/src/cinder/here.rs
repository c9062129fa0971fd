//! A request in a project: what every handler has at hand, once the project in the path is known to
//! be that of the token.

use std::ops::Deref;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use model::{Id, ProjectId};

use super::error::ApiError;
use super::fields::switch_of;
use crate::front::{At, Front};
use crate::id;

/// The surroundings of a request below `/v3/{project}`.
#[derive(Clone)]
pub(super) struct Here(At);

impl Deref for Here {
    type Target = At;

    fn deref(&self) -> &At {
        &self.0
    }
}

impl Here {
    /// Whether a parameter of the request is true.
    pub(super) fn wants(&self, name: &str) -> bool {
        let said = self.query.get(name);
        said.is_some_and(|text| switch_of(text) == Some(true))
    }
}

impl FromRequestParts<Front> for Here {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Self::Rejection> {
        let at = At::from_request_parts(parts, front).await?;
        let parameters = RawPathParams::from_request_parts(parts, front).await;
        let project = parameters.ok().and_then(|parameters| {
            let mut all = parameters.iter();
            let (_, text) = all.find(|(name, _)| *name == "project")?;
            id::parse(text).map(ProjectId)
        });
        if project == Some(at.caller.project()) {
            return Ok(Self(at));
        }
        Err(ApiError::invalid("Malformed request url").into_response())
    }
}

/// The parameters of a path below `/v3/{project}`, with one of its own.
pub(super) type Of = axum::extract::Path<(String, String)>;
/// With two of its own.
pub(super) type OfTwo = axum::extract::Path<(String, String, String)>;

/// The identity of a thing in a path; what cannot be one is nobody's.
pub(super) fn path_id(noun: &str, text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("{noun} {text} could not be found.")))
}

//! Nova's refusals, in the envelope of [`fault`].
//!
//! Every kind of action error has the status that [`failure`] says.

use actions::ActionError;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::json::BodyError;
use crate::{failure, fault};

/// Why a request was not carried out, in Nova's words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// 400: the request is wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let status = failure::status(error.kind);
        failure::log(&error, status);
        Self::new(status, error.message)
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let (status, message) = fault::of_body(error);
        Self { status, message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        fault::answer(self.status, &self.message)
    }
}

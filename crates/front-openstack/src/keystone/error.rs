//! Keystone's envelope: `{"error": {"code": ..., "message": ..., "title": ...}}`.
//!
//! Every kind of action error has the status that [`failure`] says.

use actions::ActionError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::failure;
use crate::json::BodyError;

/// Why a request was not carried out, in Keystone's words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// 400: the request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(noun: &str, id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Could not find {noun}: {id}."),
        )
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
        match error {
            BodyError::Read(edge::body::ReadError::TooLarge { limit }) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The request is larger than {limit} bytes."),
            ),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "error": {
                "code": self.status.as_u16(),
                "message": self.message,
                "title": self.status.canonical_reason().unwrap_or_default(),
            }
        });
        (self.status, Json(body)).into_response()
    }
}

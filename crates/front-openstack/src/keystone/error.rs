//! Keystone's envelope: `{"error": {"code": ..., "message": ..., "title": ...}}`.
//!
//! Every action error is mapped here, exhaustively.

use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

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

/// The status that Keystone answers for this kind of failure.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Invalid | ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden | ErrorKind::QuotaExceeded => StatusCode::FORBIDDEN,
        ErrorKind::NoCapacity | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let status = status(error.kind);
        if status.is_server_error() {
            tracing::error!(error = &error as &dyn std::error::Error, kind = ?error.kind, "a request failed");
        } else {
            tracing::debug!(error = &error as &dyn std::error::Error, kind = ?error.kind, "a request is refused");
        }
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

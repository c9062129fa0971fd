//! Cinder's envelope: `{"itemNotFound": {"code": 404, "message": ...}}`, by the name of the status.
//!
//! Every action error is mapped here, exhaustively.

use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::json::BodyError;

/// Why a request was not carried out, in Cinder's words.
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

/// The status for this kind of failure. A state that forbids it is a wrong request to Cinder.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Invalid
        | ErrorKind::Conflict
        | ErrorKind::CommandNotFound
        | ErrorKind::CommandNotExecutable => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::QuotaExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::NoCapacity | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What Cinder calls a status.
///
/// Source: cinder, `cinder/api/openstack/wsgi.py`, `Fault`.
const fn name(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "badRequest",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "itemNotFound",
        StatusCode::METHOD_NOT_ALLOWED => "badMethod",
        StatusCode::CONFLICT => "conflictingRequest",
        StatusCode::PAYLOAD_TOO_LARGE => "overLimit",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "badMediaType",
        StatusCode::NOT_IMPLEMENTED => "notImplemented",
        StatusCode::SERVICE_UNAVAILABLE => "serviceUnavailable",
        _ => "computeFault",
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
            error => {
                tracing::debug!(%error, "a body is no JSON");
                Self::invalid("Malformed request body")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let fault = json!({ "code": self.status.as_u16(), "message": self.message });
        (self.status, Json(json!({ name(self.status): fault }))).into_response()
    }
}

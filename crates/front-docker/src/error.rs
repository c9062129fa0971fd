//! The one error of this front end: a status and dockerd's envelope, `{"message": "..."}`.
//!
//! Every action error is mapped here, exhaustively; handlers add the words that clients look for.

use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// Why a request was not carried out, in this protocol's words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
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
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: the state of the thing forbids it.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 501: dockerd does it, and we do not.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The same, with what was tried in front.
    pub(crate) fn while_trying(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

/// The status that dockerd answers for this kind of failure.
///
/// A program that cannot be started is the caller's fault there (400, since API 1.40's daemons).
pub(crate) const fn status(kind: ErrorKind) -> StatusCode {
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
        }
        Self {
            status,
            message: error.message,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            // A 304 has no body.
            let mut response = Response::new(Body::empty());
            *response.status_mut() = self.status;
            return response;
        }
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_dockerds_envelope() {
        let response =
            ApiError::from(ActionError::new(ErrorKind::Conflict, "it runs")).into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        let body = edge::body::read(response.into_body(), 1000).await.unwrap();
        assert_eq!(body, r#"{"message":"it runs"}"#);
    }
}

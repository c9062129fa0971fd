//! Failed actions, before a service words them: their place in the log, and the status that a service
//! answers unless it has another one for a kind.

use actions::{ActionError, ErrorKind};
use http::StatusCode;

/// The status for this kind of failure, as Keystone and Nova answer it.
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

/// Writes a failure down: ours for whoever runs the cloud, a client's for whoever looks closely.
pub(crate) fn log(error: &ActionError, status: StatusCode) {
    let (error, kind): (&dyn std::error::Error, _) = (error, error.kind);
    if status.is_server_error() {
        tracing::error!(error, ?kind, "a request failed");
    } else {
        tracing::debug!(error, ?kind, "a request is refused");
    }
}

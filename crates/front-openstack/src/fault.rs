//! The envelope that Nova and Cinder share, `{"itemNotFound": {"code": 404, "message": ...}}`, by the
//! name of the status; and what both say of a body that cannot be read.
//!
//! Which failure has which status is each service's own `error`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use edge::body::ReadError;
use http::StatusCode;
use serde_json::json;

use crate::json::BodyError;

/// What a status is called.
///
/// Sources: nova, `nova/api/openstack/wsgi.py`, and cinder, `cinder/api/openstack/wsgi.py`, `Fault`.
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

/// A refusal in the envelope.
pub(crate) fn answer(status: StatusCode, message: &str) -> Response {
    let fault = json!({ "code": status.as_u16(), "message": message });
    (status, Json(json!({ name(status): fault }))).into_response()
}

/// The status and the words for a body that cannot be read.
pub(crate) fn of_body(error: BodyError) -> (StatusCode, String) {
    match error {
        BodyError::Read(ReadError::TooLarge { limit }) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request is larger than {limit} bytes."),
        ),
        error => {
            tracing::debug!(%error, "a body is no JSON");
            (StatusCode::BAD_REQUEST, "Malformed request body".to_owned())
        }
    }
}

//! The one error of this front end, in the specification's envelope:
//! `{"errors": [{"code": ..., "message": ..., "detail": ...}]}`.
//!
//! Every error of the registry's actions is mapped here, exhaustively. Source: OCI Distribution
//! Specification v1.1, "Error Codes"; `UNKNOWN` is what Docker's registry says of its own failures.

use actions::error::with_causes;
use actions::registry::RegistryError;
use actions::registry::upstream::UpstreamError;
use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::response::{AppendHeaders, IntoResponse, Response};
use edge::body::ReadError;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Seconds after which somebody who was too much may try again.
const RETRY_AFTER: &str = "10";

/// Why a request was not carried out, in the protocol's words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is wrong with the token; empty where none was shown.
    pub(crate) challenge: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            detail: Value::Null,
            headers: Vec::new(),
            challenge: None,
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    fn challenging(mut self, wrong: &'static str) -> Self {
        self.challenge = Some(wrong);
        self
    }

    /// 400: a parameter or header is not what it must be.
    pub(crate) fn wrong_parameter(name: &str, must_be: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "UNSUPPORTED",
            format!("{name} must be {must_be}"),
        )
    }

    /// 404: there is nothing of the kind at this address.
    pub(crate) fn nothing_here() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "UNSUPPORTED",
            "there is nothing at this address",
        )
    }

    /// 405: this can be asked in other ways.
    pub(crate) fn wrong_method(allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            format!("use one of these methods: {allowed}"),
        )
        .with_header(header::ALLOW, allowed)
    }

    /// 404: there is a manifest, but of a type that the client does not take.
    pub(crate) fn not_acceptable(media_type: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            format!("the manifest is a {media_type}, which the Accept header does not have"),
        )
    }

    /// 416: a part is wanted that a blob does not have.
    pub(crate) fn outside(size_bytes: u64) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "UNSUPPORTED",
            format!("the range is not one of the blob's {size_bytes} bytes"),
        )
        .with_header(header::CONTENT_RANGE, &format!("bytes */{size_bytes}"))
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let (status, code) = match &error {
            RegistryError::NameInvalid { .. } | RegistryError::TagInvalid(_) => {
                (StatusCode::BAD_REQUEST, "NAME_INVALID")
            }
            RegistryError::NameUnknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            RegistryError::DigestInvalid(_) | RegistryError::DigestMismatch { .. } => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
            }
            RegistryError::BlobUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            RegistryError::BlobNeeded { .. } => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            RegistryError::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            RegistryError::UploadOutOfOrder { .. } => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID")
            }
            RegistryError::SizeMismatch { .. } => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            RegistryError::BrokeOff => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            RegistryError::ManifestUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            RegistryError::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            RegistryError::ManifestTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID")
            }
            RegistryError::ManifestIncomplete(_) => {
                (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN")
            }
            RegistryError::Unauthenticated
            | RegistryError::TokenInvalid
            | RegistryError::ScopeInsufficient => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            RegistryError::IsCopy { .. } => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            RegistryError::Upstream { source, .. } => by_upstream(source),
            RegistryError::Denied(_) => (StatusCode::FORBIDDEN, "DENIED"),
            RegistryError::TooManyUploads(_) => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            RegistryError::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN"),
            RegistryError::Action(error) => by_kind(error),
        };
        if status.is_server_error() {
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        }
        let answer = Self::new(status, code, with_causes(&error));
        match error {
            RegistryError::Unauthenticated => answer.challenging(""),
            RegistryError::TokenInvalid => answer.challenging("invalid_token"),
            RegistryError::ScopeInsufficient => answer.challenging("insufficient_scope"),
            RegistryError::TooManyUploads(_) => {
                answer.with_header(header::RETRY_AFTER, RETRY_AFTER)
            }
            RegistryError::BlobNeeded { manifest, .. } => answer
                .with_header(header::ALLOW, "GET, HEAD")
                .with_detail(json!({ "manifest": manifest })),
            RegistryError::ManifestIncomplete(missing) => {
                answer.with_detail(json!({ "missing": missing }))
            }
            _ => answer,
        }
    }
}

/// What an upstream did not give.
fn by_upstream(error: &UpstreamError) -> (StatusCode, &'static str) {
    match error.code() {
        _ if error.is_denied() || error.is_unauthorized() => (StatusCode::FORBIDDEN, "DENIED"),
        "TOOMANYREQUESTS" => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
        _ => (StatusCode::BAD_GATEWAY, "UNKNOWN"),
    }
}

fn by_kind(error: &ActionError) -> (StatusCode, &'static str) {
    match error.kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        ErrorKind::Forbidden | ErrorKind::QuotaExceeded => (StatusCode::FORBIDDEN, "DENIED"),
        ErrorKind::AlreadyExists | ErrorKind::Conflict => {
            (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS")
        }
        ErrorKind::Invalid
        | ErrorKind::NotModified
        | ErrorKind::CommandNotFound
        | ErrorKind::CommandNotExecutable => (StatusCode::BAD_REQUEST, "UNSUPPORTED"),
        ErrorKind::NoCapacity | ErrorKind::Unavailable | ErrorKind::TimedOut => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN")
        }
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { limit } => {
                RegistryError::ManifestTooLarge { most_bytes: limit }.into()
            }
            ReadError::Broken(_) => RegistryError::BrokeOff.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.detail.is_null() {
            error["detail"] = self.detail;
        }
        (
            self.status,
            AppendHeaders(self.headers),
            Json(json!({ "errors": [error] })),
        )
            .into_response()
    }
}

//! Glance's envelope: a page of HTML, or JSON where the client asks for that and not for HTML, as
//! WebOb writes them.
//!
//! Every action error is mapped here, exhaustively. Handlers answer with the page; [`negotiate`]
//! around all of them writes it anew as JSON where it should be.

use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::failure;
use crate::json::BodyError;

/// Why a request was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
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

    /// 403: it is nobody's to change.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 410 instead of 404: it went while the request was carried out.
    pub(super) fn gone(self) -> Self {
        if self.status == StatusCode::NOT_FOUND {
            return Self::new(StatusCode::GONE, self.message);
        }
        self
    }

    /// `404 Not Found`
    fn title(&self) -> String {
        self.status.to_string()
    }
}

/// The status for this kind of failure.
const fn by_kind(kind: ErrorKind) -> StatusCode {
    match kind {
        // A full disk, too, is a request that is too large.
        ErrorKind::QuotaExceeded | ErrorKind::NoCapacity => StatusCode::PAYLOAD_TOO_LARGE,
        kind => failure::status(kind),
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let status = by_kind(error.kind);
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
            BodyError::Json(error) => {
                Self::invalid(format!("Malformed JSON in request body: {error}"))
            }
            BodyError::Read(error) => Self::invalid(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let title = self.title();
        let words = escaped(&self.message);
        let page = format!(
            "<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  {words}<br /><br />\n\n\n\n </body>\n</html>"
        );
        let mut response = (self.status, Html(page)).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Writes a refusal as the client wants to read it.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let wants_json = wants_json(
        request
            .headers()
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("*/*"),
    );
    let response = next.run(request).await;
    let refused = response.extensions().get::<ApiError>().cloned();
    match refused {
        Some(error) if wants_json => {
            let title = error.title();
            let short = title.split_once(' ').map_or("", |(_, words)| words);
            let body = json!({
                "message": format!("{}<br /><br />\n\n\n", error.message),
                "code": title,
                "title": short,
            });
            (error.status, Json(body)).into_response()
        }
        _ => response,
    }
}

/// Whether JSON is asked for, and HTML is not.
fn wants_json(accept: &str) -> bool {
    let wanted = |kind: &str| {
        accept.split(',').any(|one| {
            let one = one.split(';').next().unwrap_or(one).trim();
            one.eq_ignore_ascii_case(kind)
        })
    };
    wanted("application/json") && !wanted("text/html") && !wanted("*/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_answered_unless_only_json_is_wanted() {
        assert!(wants_json("application/json"));
        assert!(wants_json(
            "application/json;q=0.9, application/octet-stream"
        ));
        for other in ["*/*", "text/html,application/json", "", "text/plain"] {
            assert!(!wants_json(other), "{other}");
        }
    }

    #[test]
    fn what_users_wrote_is_no_markup() {
        assert_eq!(escaped("<b>\"&"), "&lt;b&gt;&quot;&amp;");
    }
}

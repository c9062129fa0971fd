//! The metadata service: what an instance reads at `http://169.254.169.254`.
//!
//! [`drive`] is the same as files, for instances that have them without asking.
//!
//! Not a service of the catalogue: it has no token and no project in its paths, because whoever
//! asks is known by where they ask. The binary serves [`router`] on the connections that the engine
//! hands on, one instance each. [`openstack`] and [`ec2`] are the two trees.
//!
//! Source: Nova, "Metadata service" in the user guide, and `nova/api/metadata`.

pub mod drive;
mod ec2;
mod openstack;

use actions::metadata::{Facts, facts, set_password};
use actions::{Cloud, ErrorKind};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, Uri, header};
use model::Id;

/// Most bytes of a password: four pieces of 255 in Nova.
const LONGEST_PASSWORD: usize = 1020;

/// What is found at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    /// A list of names, or a value.
    Text(String),
    /// A document.
    Json(serde_json::Value),
    /// As the user wrote it.
    Bytes(Vec<u8>),
}

/// Who asks.
#[derive(Clone)]
struct Asking {
    cloud: Cloud,
    instance: Id,
}

/// What one instance may ask.
pub fn router(cloud: Cloud, instance: Id) -> Router {
    Router::new()
        .fallback(answer)
        .with_state(Asking { cloud, instance })
}

async fn answer(
    State(asking): State<Asking>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Response, StatusCode> {
    let parts: Vec<&str> = uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    match method {
        Method::GET | Method::HEAD => {
            let facts = facts(&asking.cloud, asking.instance).map_err(status)?;
            match find(&facts, &parts) {
                Some(found) => Ok(found.into_response()),
                None => Err(StatusCode::NOT_FOUND),
            }
        }
        Method::POST if matches!(parts.as_slice(), ["openstack", _, "password"]) => {
            let text = std::str::from_utf8(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
            if text.is_empty() || text.len() > LONGEST_PASSWORD {
                return Err(StatusCode::BAD_REQUEST);
            }
            set_password(&asking.cloud, asking.instance, text)
                .await
                .map_err(status)?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn find(facts: &Facts, parts: &[&str]) -> Option<Found> {
    match parts {
        [] => Some(ec2::versions()),
        ["openstack"] => Some(openstack::versions()),
        ["openstack", version, rest @ ..] => openstack::find(facts, version, rest),
        [version, rest @ ..] => ec2::find(facts, version, rest),
    }
}

/// What the user wants done at the first start.
fn user_data(facts: &Facts) -> Option<Found> {
    let text = facts.guest.user_data.as_ref()?;
    // Checked when it was taken; what is no base64 is handed on as it is.
    let bytes = STANDARD
        .decode(text)
        .unwrap_or_else(|_| text.clone().into_bytes());
    Some(Found::Bytes(bytes))
}

fn status(error: actions::ActionError) -> StatusCode {
    match error.kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Found {
    fn into_response(self) -> Response {
        const TEXT: &str = "text/plain; charset=utf-8";
        match self {
            Self::Text(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
            Self::Json(document) => axum::Json(document).into_response(),
            Self::Bytes(bytes) => {
                ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Lets nobody past without a token: turns `X-Auth-Token` into a session, which [`crate::front::At`]
//! hands to the handler with its caller.
//!
//! What a service answers to no token or a worthless one is the same for all of them, as it is
//! keystonemiddleware's `auth_token` that answers in the real ones.

use std::sync::Arc;

use actions::identity::application_credential;
use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::front::Front;
use crate::service::Settings;

/// The header that carries the caller's token.
pub(crate) const TOKEN: &str = "X-Auth-Token";

/// Lets a request to a `service` of this type pass that shows a token, which must be for it where it
/// is for certain requests only.
pub(crate) async fn require_token(
    State((front, service)): State<(Front, &'static str)>,
    mut request: Request,
    next: Next,
) -> Response {
    let sealed = request
        .headers()
        .get(TOKEN)
        .and_then(|value| value.to_str().ok());
    let Some(sealed) = sealed else {
        return refusal(&front.settings);
    };
    match actions::identity::token::session(&front.cloud, sealed) {
        Ok(session) => {
            let (method, path) = (request.method().as_str(), request.uri().path());
            if !application_credential::allows(&front.cloud, &session, service, method, path) {
                return refusal(&front.settings);
            }
            request.extensions_mut().insert(Arc::new(session));
            next.run(request).await
        }
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a token is refused"
            );
            refusal(&front.settings)
        }
    }
}

/// What whoever shows no good token is told.
pub(crate) fn refusal(settings: &Settings) -> Response {
    let body = json!({
        "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }
    });
    let mut response = (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    let challenge = format!("Keystone uri=\"{}/identity\"", settings.url);
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

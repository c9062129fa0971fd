//! What is known of every request: an identity, a span in the log, a count.
//!
//! Front ends wrap their routers with [`observe`] and read [`RequestId`] from the request.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;

use crate::metrics::Metrics;

/// Carries the request's identity, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The identity of one request: the client's own, or a new one, `req-` and a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    fn of(request: &Request) -> Self {
        let sent = request
            .headers()
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if is_well_formed(id) => Self(id.to_owned()),
            Some(_) | None => Self(format!("req-{}", Uuid::new_v4())),
        }
    }
}

/// Whether a client's identity may go into our logs and headers.
fn is_well_formed(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Gives every request an identity and a span, counts it, and logs how it was answered.
pub fn observe(router: Router, metrics: Metrics) -> Router {
    router.layer(from_fn_with_state(metrics, watch))
}

async fn watch(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", id = %id.0, %method, path = request.uri().path());
    request.extensions_mut().insert(id.clone());
    async move {
        let mut response = next.run(request).await;
        let duration = began.elapsed();
        let status = response.status();
        let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
        metrics.answered(&method, route, status, duration);
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ?duration, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), ?duration, "answered");
        }
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_identity_is_taken_only_where_it_is_harmless() {
        assert!(is_well_formed("req-5b1c_2.A"));
        for id in ["", "a b", "a\"b", &"x".repeat(129)] {
            assert!(!is_well_formed(id), "{id:?}");
        }
    }
}

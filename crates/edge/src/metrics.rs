//! The registry of numbers, and `/metrics` in the OpenMetrics text format.
//!
//! HTTP requests are counted by [`crate::observe`]; other crates register their own metrics through
//! the binary.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

/// Every number that `/metrics` shows. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let requests = Family::default();
        // From 0.25 ms to about 4 s.
        let durations: Family<Route, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 15)));
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        registry.register(
            "http_request_seconds",
            "Time until the head of the answer",
            durations.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            durations,
        }
    }
}

impl Metrics {
    /// Lets `register` add metrics of its own.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts one answered request. `route` is the pattern, never the path: paths have no end.
    pub fn answered(
        &self,
        method: &http::Method,
        route: &str,
        status: http::StatusCode,
        duration: Duration,
    ) {
        let (method, route) = (method.to_string(), route.to_owned());
        self.durations
            .get_or_create(&Route {
                method: method.clone(),
                route: route.clone(),
            })
            .observe(duration.as_secs_f64());
        self.requests
            .get_or_create(&Request {
                method,
                route,
                status: status.as_u16(),
            })
            .inc();
    }

    /// Everything, in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing into a string cannot fail; a metric of another crate might.
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "a metric cannot be written");
        }
        text
    }

    /// Answers `/metrics`.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            get(move || std::future::ready(([(CONTENT_TYPE, TEXT_FORMAT)], metrics.render()))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_requests_are_counted_by_route_and_status() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            metrics.answered(
                &http::Method::GET,
                "/x/{id}",
                http::StatusCode::OK,
                Duration::from_millis(2),
            );
        }
        let text = metrics.render();
        assert!(
            text.contains(
                r#"longshore_http_requests_total{method="GET",route="/x/{id}",status="200"} 2"#
            ),
            "{text}"
        );
        assert!(
            text.contains(
                r#"longshore_http_request_seconds_count{method="GET",route="/x/{id}"} 2"#
            ),
            "{text}"
        );
    }
}

//! `/healthz`: whether the daemon does its work, for supervisors and load balancers.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::StatusCode;

/// Says what is wrong, or nothing.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Answers `/healthz` with 200 `ok`, or 503 and what is wrong.
pub fn router(check: Check) -> Router {
    Router::new().route(
        "/healthz",
        get(move || {
            let answer = match check() {
                Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
                Err(wrong) => (StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")),
            };
            std::future::ready(answer)
        }),
    )
}

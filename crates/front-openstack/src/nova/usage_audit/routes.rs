//! Paths of audits of usage, as they are where none is configured.

use actions::node;
use actions::policy::{Action, Target};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::translate::{moment, shown};
use crate::front::At;
use crate::nova::error::ApiError;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.1/os-instance_usage_audit_log",
            "listUsageAuditLog",
            get(list),
        ),
        Route::new(
            "/v2.1/os-instance_usage_audit_log/{before}",
            "showUsageAuditLog",
            get(show),
        ),
    ]
}

/// Names of the nodes that would tell of their servers.
fn nodes(at: &At) -> Result<Vec<String>, ApiError> {
    at.caller.may(Action::ListUsageAudits, &Target::SYSTEM)?;
    let all = node::list(&at.cloud, &at.caller)?.into_iter();
    Ok(all.map(|view| view.node.meta.name.clone()).collect())
}

async fn list(at: At) -> Result<Response, ApiError> {
    let nodes = nodes(&at)?;
    let now = TimeZone::UTC.to_datetime(Timestamp::now());
    let answer: Value = json!({ "instance_usage_audit_logs": shown(&nodes, now) });
    Ok(Json(answer).into_response())
}

async fn show(at: At, Path(before): Path<String>) -> Result<Response, ApiError> {
    let nodes = nodes(&at)?;
    let answer: Value = json!({ "instance_usage_audit_log": shown(&nodes, moment(&before)?) });
    Ok(Json(answer).into_response())
}

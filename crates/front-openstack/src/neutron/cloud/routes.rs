//! Paths of quotas and zones.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::neutron::error::ApiError;
use crate::neutron::tag::TAGGED;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/quotas/{project_id}", "showQuota", get(quota)),
        Route::new("/v2.0/quotas/{project_id}", "updateQuota", put(set_quota)),
        Route::new(
            "/v2.0/availability_zones",
            "listAvailabilityZones",
            get(zones),
        ),
    ]
}

/// Every number is -1, which is without end: there are no quotas of the network.
async fn quota(at: At, Path(project): Path<String>) -> Result<Response, ApiError> {
    let of = id::parse(&project).ok_or_else(|| ApiError::not_found("Project", &project))?;
    if of != at.caller.project().0 && !at.caller.is_admin() {
        return Err(ApiError::not_found("Project", &project));
    }
    let numbers: serde_json::Map<String, Value> = TAGGED
        .iter()
        .map(|noun| (noun.one.to_owned(), json!(-1)))
        .collect();
    Ok(Json(json!({ "quota": numbers })).into_response())
}

async fn set_quota(_: At) -> ApiError {
    ApiError::absent("Quotas of the network cannot be set: there are none")
}

async fn zones(_: At) -> Response {
    let zones: Vec<Value> = ["network", "router"]
        .iter()
        .map(|of| json!({ "name": "nova", "resource": of, "state": "available" }))
        .collect();
    Json(json!({ "availability_zones": zones })).into_response()
}

//! Paths of quotas.

use actions::quota::{self, Service};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::ProjectId;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::neutron::Body;
use crate::neutron::error::ApiError;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/quotas", "listQuotas", get(list)),
        Route::new("/v2.0/quotas/project", "showQuotaProject", get(project)),
        Route::new("/v2.0/quotas/tenant", "showQuotaTenant", get(tenant)),
        Route::new("/v2.0/quotas/{project_id}", "showQuota", get(show)),
        Route::new("/v2.0/quotas/{project_id}", "updateQuota", put(update)),
        Route::new("/v2.0/quotas/{project_id}", "deleteQuota", delete(remove)),
        Route::new(
            "/v2.0/quotas/{project_id}/default",
            "showQuotaDefault",
            get(default),
        ),
        Route::new(
            "/v2.0/quotas/{project_id}/default.json",
            "showQuotaDefault",
            get(default),
        ),
        Route::new(
            "/v2.0/quotas/{project_id}/details",
            "showQuotaDetails",
            get(details),
        ),
        Route::new(
            "/v2.0/quotas/{project_id}/details.json",
            "showQuotaDetails",
            get(details),
        ),
    ]
}

fn parse(project: &str) -> Result<ProjectId, ApiError> {
    let id = id::parse(project).ok_or_else(|| ApiError::not_found("Project", project))?;
    Ok(ProjectId(id))
}

fn answer(quota: Value) -> Response {
    Json(json!({ "quota": quota })).into_response()
}

async fn list(at: At) -> Result<Response, ApiError> {
    let mut quotas = Vec::new();
    for project in quota::with_own(&at.cloud, &at.caller, Service::Network)? {
        let figures = quota::figures(&at.cloud, &at.caller, Service::Network, project)?;
        let mut shown = translate::limits(&figures);
        let project = id::show(project.0);
        shown["project_id"] = json!(project);
        shown["tenant_id"] = json!(project);
        quotas.push(shown);
    }
    Ok(Json(json!({ "quotas": quotas })).into_response())
}

async fn project(at: At) -> Response {
    let project = id::show(at.caller.project().0);
    Json(json!({ "project": { "project_id": project } })).into_response()
}

async fn tenant(at: At) -> Response {
    let project = id::show(at.caller.project().0);
    Json(json!({ "tenant": { "tenant_id": project } })).into_response()
}

async fn show(at: At, Path(project): Path<String>) -> Result<Response, ApiError> {
    let figures = quota::figures(&at.cloud, &at.caller, Service::Network, parse(&project)?)?;
    Ok(answer(translate::limits(&figures)))
}

async fn details(at: At, Path(project): Path<String>) -> Result<Response, ApiError> {
    let figures = quota::figures(&at.cloud, &at.caller, Service::Network, parse(&project)?)?;
    Ok(answer(translate::details(&figures)))
}

async fn default(at: At, Path(project): Path<String>) -> Result<Response, ApiError> {
    // Whoever may not see a project's quota may not see what it would be either.
    quota::figures(&at.cloud, &at.caller, Service::Network, parse(&project)?)?;
    let defaults = quota::defaults(&at.cloud, Service::Network);
    Ok(answer(translate::plain(&defaults)))
}

async fn update(at: At, Path(project): Path<String>, body: Body) -> Result<Response, ApiError> {
    let project = parse(&project)?;
    let (limits, forced) = translate::change(body.0)?;
    let service = Service::Network;
    quota::set(&at.cloud, &at.caller, service, project, &limits, forced).await?;
    let figures = quota::figures(&at.cloud, &at.caller, service, project)?;
    Ok(answer(translate::limits(&figures)))
}

async fn remove(at: At, Path(project): Path<String>) -> Result<StatusCode, ApiError> {
    let project = parse(&project)?;
    if !quota::has_own(&at.cloud, Service::Network, project) && at.caller.is_admin() {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "TenantQuotaNotFound",
            format!("Quota for tenant {project} could not be found."),
        ));
    }
    quota::reset(&at.cloud, &at.caller, Service::Network, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

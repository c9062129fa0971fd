//! Paths of quota sets.

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
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::list;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/os-quota-sets/{project_id}";
    const CLASS: &str = "/v2.1/os-quota-class-sets/{class}";
    vec![
        Route::new(ONE, "showQuotaSet", get(show)),
        Route::new(ONE, "updateQuotaSet", put(update)),
        Route::new(ONE, "deleteQuotaSet", delete(remove)),
        Route::new(
            "/v2.1/os-quota-sets/{project_id}/defaults",
            "showQuotaSetDefaults",
            get(defaults),
        ),
        Route::new(
            "/v2.1/os-quota-sets/{project_id}/detail",
            "showQuotaSetDetail",
            get(detail),
        ),
        Route::new(CLASS, "showQuotaClassSet", get(class)),
        Route::new(CLASS, "updateQuotaClassSet", put(update_class)),
    ]
}

/// The project that a path names. Single users have no quotas of their own here.
fn project(at: &At, text: &str) -> Result<ProjectId, ApiError> {
    list::check_query(at, &["user_id"])?;
    let wrong = || ApiError::invalid(format!("Project ID {text} is not a valid project."));
    let project = id::parse(text).map(ProjectId).ok_or_else(wrong)?;
    Ok(project)
}

fn answer(mut set: Value, id: Option<&str>) -> Response {
    if let Some(id) = id {
        set["id"] = json!(id);
    }
    Json(json!({ "quota_set": set })).into_response()
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let project = project(&at, &id)?;
    let figures = quota::figures(&at.cloud, &at.caller, Service::Compute, project)?;
    quota::check_project(&at.cloud, project)?;
    let set = translate::shown(&at, &figures, |figure| json!(figure.limit), json!(-1));
    Ok(answer(set, Some(&id)))
}

async fn detail(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let project = project(&at, &id)?;
    let figures = quota::figures(&at.cloud, &at.caller, Service::Compute, project)?;
    quota::check_project(&at.cloud, project)?;
    // Nothing is ever reserved: it is made, or it is not.
    let detail = |limit: i64, used: u64| json!({ "limit": limit, "in_use": used, "reserved": 0 });
    let of = |figure: &quota::Figure| detail(figure.limit, figure.used);
    let set = translate::shown(&at, &figures, of, detail(-1, 0));
    Ok(answer(set, Some(&id)))
}

async fn defaults(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    quota::check_project(&at.cloud, project(&at, &id)?)?;
    let defaults = quota::defaults(&at.cloud, Service::Compute);
    let set = translate::shown(&at, &defaults, |limit| json!(limit), json!(-1));
    Ok(answer(set, Some(&id)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let project = project(&at, &id)?;
    let (limits, forced) = translate::change(&at, body.0)?;
    let service = Service::Compute;
    quota::set(&at.cloud, &at.caller, service, project, &limits, forced).await?;
    let figures = quota::figures(&at.cloud, &at.caller, service, project)?;
    let set = translate::shown(&at, &figures, |figure| json!(figure.limit), json!(-1));
    Ok(answer(set, None))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let project = project(&at, &id)?;
    quota::reset(&at.cloud, &at.caller, Service::Compute, project).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn class(at: At, Path(class): Path<String>) -> Result<Response, ApiError> {
    let limits = quota::class(&at.cloud, &at.caller, Service::Compute, &class)?;
    let mut set = translate::class(&at, &limits);
    set["id"] = json!(class);
    Ok(Json(json!({ "quota_class_set": set })).into_response())
}

async fn update_class(at: At, Path(class): Path<String>, body: Body) -> Result<Response, ApiError> {
    let changes = translate::class_change(&at, body.0)?;
    quota::set_class(&at.cloud, &at.caller, &class, &changes).await?;
    let limits = quota::class(&at.cloud, &at.caller, Service::Compute, &class)?;
    Ok(Json(json!({ "quota_class_set": translate::class(&at, &limits) })).into_response())
}

//! Paths of quotas and limits.

use std::collections::BTreeMap;

use actions::quota::{self, Figure, Service};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::ProjectId;
use model::quota::Resource;
use serde_json::{Map, Value, json};

use crate::cinder::Body;
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, wrong};
use crate::cinder::here::{Here, Of};
use crate::id;
use crate::route::Route;

/// What Cinder limits too, and is not served: there is none of it, and there can be none.
const UNSERVED: [&str; 3] = ["backups", "backup_gigabytes", "groups"];
const SETS: &str = "/v3/{project}/os-quota-sets/{owner}";
const CLASSES: &str = "/v3/{project}/os-quota-class-sets/{class}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(SETS, "showQuotas", get(show)),
        Route::new(SETS, "updateQuotas", put(update)),
        Route::new(SETS, "deleteQuotas", delete(remove)),
        Route::new(
            "/v3/{project}/os-quota-sets/{owner}/defaults",
            "showQuotaDefaults",
            get(defaults),
        ),
        Route::new(CLASSES, "showQuotaClass", get(class)),
        Route::new(CLASSES, "updateQuotaClass", put(update_class)),
        Route::new("/v3/{project}/limits", "showLimits", get(limits)),
    ]
}

/// The project whose quota a path is about.
fn owner(text: &str) -> Result<ProjectId, ApiError> {
    let project = id::parse(text).map(ProjectId);
    project.ok_or_else(|| ApiError::not_found(format!("Project {text} could not be found.")))
}

/// A set of limits, with none of what is not served.
fn set(limits: impl IntoIterator<Item = (Resource, Value)>, none: &Value) -> Map<String, Value> {
    let limits: BTreeMap<Resource, Value> = limits.into_iter().collect();
    let served = quota::resources(Service::Volume)
        .filter_map(|(resource, name)| Some((name.to_owned(), limits.get(&resource)?.clone())));
    let unserved = UNSERVED.map(|name| (name.to_owned(), none.clone()));
    served.chain(unserved).collect()
}

fn limits_of(figures: &BTreeMap<Resource, Figure>) -> Map<String, Value> {
    let limits = figures.iter();
    set(
        limits.map(|(resource, figure)| (*resource, json!(figure.limit))),
        &json!(0),
    )
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    let project = owner(&path.1)?;
    let figures = quota::figures(&here.cloud, &here.caller, Service::Volume, project)?;
    let with_usage = here.wants("usage");
    let mut shown = if with_usage {
        let figure =
            |limit: i64, used: u64| json!({ "limit": limit, "in_use": used, "reserved": 0 });
        set(
            figures
                .iter()
                .map(|(resource, one)| (*resource, figure(one.limit, one.used))),
            &figure(0, 0),
        )
    } else {
        limits_of(&figures)
    };
    shown.insert("id".to_owned(), json!(path.1));
    Ok(Json(json!({ "quota_set": shown })).into_response())
}

async fn defaults(here: Here, path: Of) -> Result<Response, ApiError> {
    let project = owner(&path.1)?;
    // Whoever may see the project's own may see what it would be without.
    quota::figures(&here.cloud, &here.caller, Service::Volume, project)?;
    let limits = quota::defaults(&here.cloud, Service::Volume).into_iter();
    let mut shown = set(
        limits.map(|(resource, limit)| (resource, json!(limit))),
        &json!(0),
    );
    shown.insert("id".to_owned(), json!(path.1));
    Ok(Json(json!({ "quota_set": shown })).into_response())
}

/// The limits that a client sets.
fn wanted(body: Value, noun: &str) -> Result<BTreeMap<Resource, i64>, ApiError> {
    let mut fields = Fields::of(body, noun)?;
    for name in [
        "tenant_id",
        "project_id",
        "id",
        "class_name",
        "skip_validation",
        "force",
    ] {
        fields.take(name);
    }
    let mut limits = BTreeMap::new();
    for (resource, name) in quota::resources(Service::Volume) {
        let Some(value) = fields.take(name) else {
            continue;
        };
        let number = value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|limit| (quota::UNLIMITED..=quota::MOST).contains(limit));
        let number = number.ok_or_else(|| wrong(name, &value, "is not a limit: -1 or more"))?;
        limits.insert(resource, number);
    }
    for name in UNSERVED {
        match fields.take(name) {
            Some(value) if value != json!(0) => {
                return Err(wrong(name, &value, "is not supported here: there is none"));
            }
            _ => {}
        }
    }
    fields.done()?;
    if limits.is_empty() {
        return Err(ApiError::invalid(format!("There is nothing in '{noun}'.")));
    }
    Ok(limits)
}

async fn update(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let project = owner(&path.1)?;
    let limits = wanted(body.0, "quota_set")?;
    let (cloud, caller) = (&here.cloud, &here.caller);
    quota::set(cloud, caller, Service::Volume, project, &limits, true).await?;
    let figures = quota::figures(cloud, caller, Service::Volume, project)?;
    Ok(Json(json!({ "quota_set": limits_of(&figures) })).into_response())
}

async fn remove(here: Here, path: Of) -> Result<StatusCode, ApiError> {
    let project = owner(&path.1)?;
    quota::reset(&here.cloud, &here.caller, Service::Volume, project).await?;
    Ok(StatusCode::OK)
}

fn shown_class(limits: BTreeMap<Resource, i64>, class: Option<&str>) -> Response {
    let limits = limits.into_iter();
    let mut shown = set(
        limits.map(|(resource, limit)| (resource, json!(limit))),
        &json!(0),
    );
    if let Some(class) = class {
        shown.insert("id".to_owned(), json!(class));
    }
    Json(json!({ "quota_class_set": shown })).into_response()
}

async fn class(here: Here, path: Of) -> Result<Response, ApiError> {
    let limits = quota::class(&here.cloud, &here.caller, Service::Volume, &path.1)?;
    Ok(shown_class(limits, Some(&path.1)))
}

async fn update_class(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let limits = wanted(body.0, "quota_class_set")?;
    quota::set_class(&here.cloud, &here.caller, &path.1, &limits).await?;
    let limits = quota::class(&here.cloud, &here.caller, Service::Volume, &path.1)?;
    Ok(shown_class(limits, None))
}

async fn limits(here: Here) -> Result<Response, ApiError> {
    let project = here.caller.project();
    let figures = quota::figures(&here.cloud, &here.caller, Service::Volume, project)?;
    let of = |resource| figures.get(&resource).copied();
    let limit = |resource| of(resource).map_or(0, |figure: Figure| figure.limit);
    let used = |resource| of(resource).map_or(0, |figure: Figure| figure.used);
    let absolute = json!({
        "maxTotalVolumes": limit(Resource::Volumes),
        "maxTotalVolumeGigabytes": limit(Resource::VolumeGib),
        "maxTotalSnapshots": limit(Resource::Snapshots),
        "maxTotalBackups": 0,
        "maxTotalBackupGigabytes": 0,
        "totalVolumesUsed": used(Resource::Volumes),
        "totalGigabytesUsed": used(Resource::VolumeGib),
        "totalSnapshotsUsed": used(Resource::Snapshots),
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    });
    Ok(Json(json!({ "limits": { "rate": [], "absolute": absolute } })).into_response())
}

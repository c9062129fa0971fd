//! Paths of flavors, of who may use them, and of what else is said of them.

use std::sync::Arc;

use actions::flavor::{self, Visibility};
use actions::policy::{Action, Target};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::flavor::Flavor;
use serde_json::json;

use super::translate::{self, AccessChange};
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::list;
use crate::route::Route;

/// Parameters of lists.
const KNOWN: [&str; 7] = [
    "limit",
    "marker",
    "is_public",
    "minRam",
    "minDisk",
    "sort_key",
    "sort_dir",
];

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/flavors/{id}";
    const SPECS: &str = "/v2.1/flavors/{id}/os-extra_specs";
    const SPEC: &str = "/v2.1/flavors/{id}/os-extra_specs/{key}";
    vec![
        Route::new("/v2.1/flavors", "listFlavors", get(list)),
        Route::new("/v2.1/flavors", "createFlavor", post(create)),
        Route::new("/v2.1/flavors/detail", "listFlavorsDetailed", get(detail)),
        Route::new(ONE, "showFlavor", get(show)),
        Route::new(ONE, "updateFlavor", put(update)),
        Route::new(ONE, "deleteFlavor", delete(remove)),
        Route::several(
            "/v2.1/flavors/{id}/action",
            vec!["addTenantAccess", "removeTenantAccess"],
            post(change_access),
        ),
        Route::new(
            "/v2.1/flavors/{id}/os-flavor-access",
            "listFlavorAccess",
            get(access),
        ),
        Route::new(SPECS, "listFlavorExtraSpecs", get(extra_specs)),
        Route::new(SPECS, "createFlavorExtraSpecs", post(set_extra_specs)),
        Route::new(SPEC, "showFlavorExtraSpec", get(extra_spec)),
        Route::new(SPEC, "updateFlavorExtraSpec", put(set_extra_spec)),
        Route::new(SPEC, "deleteFlavorExtraSpec", delete(unset_extra_spec)),
    ]
}

/// What a client wants of the list.
fn wanted(at: &At) -> Result<Vec<Arc<Flavor>>, ApiError> {
    list::check_query(at, &KNOWN)?;
    let visibility = match at.query.get("is_public").filter(|_| at.caller.is_admin()) {
        None => Visibility::Usable,
        Some(text) => translate::visibility(text)?,
    };
    let mut found = flavor::list(&at.cloud, &at.caller, visibility);
    if let Some(least) = translate::least(at, "minRam")? {
        found.retain(|flavor| i64::from(flavor.spec.ram_mib) >= least);
    }
    if let Some(least) = translate::least(at, "minDisk")? {
        found.retain(|flavor| i64::from(flavor.spec.disk_gib) >= least);
    }
    translate::sort(at, &mut found)?;
    Ok(found)
}

async fn list(at: At) -> Result<Response, ApiError> {
    let page = list::page(&at, "flavors", wanted(&at)?, |flavor| flavor.id.clone())?;
    let shown = page
        .items
        .iter()
        .map(|flavor| translate::brief(&at, flavor));
    Ok(translate::many(shown.collect(), page.next))
}

async fn detail(at: At) -> Result<Response, ApiError> {
    let flavors = wanted(&at)?;
    let page = list::page(&at, "flavors/detail", flavors, |flavor| flavor.id.clone())?;
    let shown = page
        .items
        .iter()
        .map(|flavor| translate::shown(&at, flavor));
    Ok(translate::many(shown.collect(), page.next))
}

fn one(at: &At, flavor: &Flavor) -> Response {
    Json(json!({ "flavor": translate::shown(at, flavor) })).into_response()
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let new = translate::new(&at, body.0)?;
    let made = flavor::create(&at.cloud, &at.caller, new).await?;
    Ok(one(&at, &made))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = flavor::get(&at.cloud, &at.caller, &id)?;
    Ok(one(&at, &found))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    list::since(&at, 55)?;
    let description = translate::description(body.0)?;
    let changed = flavor::describe(&at.cloud, &at.caller, &id, description).await?;
    Ok(one(&at, &changed))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    flavor::remove(&at.cloud, &at.caller, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn access(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let projects = flavor::access(&at.cloud, &at.caller, &id)?;
    Ok(translate::access(&id, &projects))
}

async fn change_access(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let projects = match translate::access_change(body.0)? {
        AccessChange::Add(project) => {
            if at.minor >= 7 && flavor::get(&at.cloud, &at.caller, &id)?.spec.is_public {
                let message = "Can not add access to a public flavor.";
                return Err(ApiError::new(StatusCode::CONFLICT, message));
            }
            flavor::let_in(&at.cloud, &at.caller, &id, project).await?
        }
        AccessChange::Remove(project) => {
            flavor::shut_out(&at.cloud, &at.caller, &id, project).await?
        }
    };
    Ok(translate::access(&id, &projects))
}

async fn extra_specs(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let target = Target::project(at.caller.project());
    at.caller.may(Action::ListExtraSpecs, &target)?;
    let found = flavor::get(&at.cloud, &at.caller, &id)?;
    Ok(Json(json!({ "extra_specs": found.spec.extra_specs })).into_response())
}

async fn set_extra_specs(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let specs = translate::extra_specs(body.0)?;
    flavor::set_extra_specs(&at.cloud, &at.caller, &id, specs.clone()).await?;
    Ok(Json(json!({ "extra_specs": specs })).into_response())
}

async fn extra_spec(at: At, Path((id, key)): Path<(String, String)>) -> Result<Response, ApiError> {
    let target = Target::project(at.caller.project());
    at.caller.may(Action::GetExtraSpec, &target)?;
    let found = flavor::get(&at.cloud, &at.caller, &id)?;
    let value = found.spec.extra_specs.get(&key).ok_or_else(|| {
        ApiError::not_found(format!("Flavor {id} has no extra specs with key {key}."))
    })?;
    Ok(Json(json!({ key: value })).into_response())
}

async fn set_extra_spec(
    at: At,
    Path((id, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let value = translate::extra_spec(&key, body.0)?;
    flavor::set_extra_spec(&at.cloud, &at.caller, &id, key.clone(), value.clone()).await?;
    Ok(Json(json!({ key: value })).into_response())
}

async fn unset_extra_spec(
    at: At,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    flavor::unset_extra_spec(&at.cloud, &at.caller, &id, &key).await?;
    Ok(StatusCode::OK)
}

//! Paths of services, endpoints and regions, and of the catalogue that they make.

use actions::identity::catalogue::catalogue;
use actions::identity::service;
use axum::Json as Answer;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use http::StatusCode;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::answer::{self, fits};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::keystone::{Body, token};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/services", "listServices", get(list)),
        Route::new("/v3/services", "createService", post(create)),
        Route::new("/v3/services/{service_id}", "showService", get(show)),
        Route::new("/v3/services/{service_id}", "updateService", patch(update)),
        Route::new("/v3/services/{service_id}", "deleteService", delete(remove)),
        Route::new("/v3/endpoints", "listEndpoints", get(list_endpoints)),
        Route::new("/v3/endpoints", "createEndpoint", post(create_endpoint)),
        Route::new(
            "/v3/endpoints/{endpoint_id}",
            "showEndpoint",
            get(show_endpoint),
        ),
        Route::new(
            "/v3/endpoints/{endpoint_id}",
            "updateEndpoint",
            patch(update_endpoint),
        ),
        Route::new(
            "/v3/endpoints/{endpoint_id}",
            "deleteEndpoint",
            delete(remove_endpoint),
        ),
        Route::new("/v3/regions", "listRegions", get(list_regions)),
        Route::new("/v3/regions", "createRegion", post(create_region)),
        Route::new("/v3/regions/{region_id}", "showRegion", get(show_region)),
        Route::new(
            "/v3/regions/{region_id}",
            "updateRegion",
            patch(update_region),
        ),
        Route::new(
            "/v3/regions/{region_id}",
            "createRegionWithId",
            put(put_region),
        ),
        Route::new(
            "/v3/regions/{region_id}",
            "deleteRegion",
            delete(remove_region),
        ),
        Route::new("/v3/auth/catalog", "showCatalogue", get(show_catalogue)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let kind = at.query.get("type");
    let found = service::list_services(&at.cloud, &at.caller, |service| {
        kind.is_none_or(|kind| kind == service.spec.kind)
            && fits(
                &at,
                "name",
                service.spec.name.as_deref().unwrap_or_default(),
            )
    })?;
    let shown = found.iter().map(|service| translate::service(&at, service));
    answer::list(&at, "services", "services", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let changes = translate::service_changes(Fields::of(body.0, "service")?)?;
    let made = service::create_service(&at.cloud, &at.caller, changes).await?;
    Ok(answer::made("service", translate::service(&at, &made)))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = service::get_service(&at.cloud, &at.caller, parse("service", &text)?)?;
    Ok(answer::one("service", translate::service(&at, &found)))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "service")?;
    fields.same_id(&text)?;
    let changes = translate::service_changes(fields)?;
    let id = parse("service", &text)?;
    let changed = service::update_service(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("service", translate::service(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    service::delete_service(&at.cloud, &at.caller, parse("service", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_endpoints(at: At) -> Result<Response, ApiError> {
    let interface = at.query.get("interface");
    let of = at.query.get("service_id").map(id::parse);
    let region = at.query.get("region_id").or_else(|| at.query.get("region"));
    let found = service::list_endpoints(&at.cloud, &at.caller, |endpoint| {
        interface.is_none_or(|interface| interface == endpoint.spec.interface.as_str())
            && of.is_none_or(|of| of == Some(endpoint.spec.service))
            && region.is_none_or(|region| endpoint.spec.region.as_deref() == Some(region))
    })?;
    let shown = found
        .iter()
        .map(|endpoint| translate::endpoint(&at, endpoint));
    answer::list(&at, "endpoints", "endpoints", shown.collect())
}

async fn create_endpoint(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let changes = translate::endpoint_changes(Fields::of(body.0, "endpoint")?)?;
    ensure_region(&at, &changes).await?;
    let made = service::create_endpoint(&at.cloud, &at.caller, changes).await?;
    Ok(answer::made("endpoint", translate::endpoint(&at, &made)))
}

/// Makes the region that a client names for an endpoint, where it is new.
async fn ensure_region(at: &At, changes: &service::EndpointChanges) -> Result<(), ApiError> {
    if let Some(Some(region)) = &changes.region
        && service::get_region(&at.cloud, region).is_err()
    {
        let new = service::RegionChanges::default();
        service::create_region(&at.cloud, &at.caller, Some(region.clone()), new).await?;
    }
    Ok(())
}

async fn show_endpoint(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = service::get_endpoint(&at.cloud, &at.caller, parse("endpoint", &text)?)?;
    Ok(answer::one("endpoint", translate::endpoint(&at, &found)))
}

async fn update_endpoint(
    at: At,
    Path(text): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "endpoint")?;
    fields.same_id(&text)?;
    let changes = translate::endpoint_changes(fields)?;
    let id = parse("endpoint", &text)?;
    ensure_region(&at, &changes).await?;
    let changed = service::update_endpoint(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("endpoint", translate::endpoint(&at, &changed)))
}

async fn remove_endpoint(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    service::delete_endpoint(&at.cloud, &at.caller, parse("endpoint", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_regions(at: At) -> Result<Response, ApiError> {
    let parent = at.query.get("parent_region_id");
    let found = service::list_regions(&at.cloud, |region| {
        parent.is_none_or(|parent| region.spec.parent.as_deref() == Some(parent))
    });
    let shown = found.iter().map(|region| translate::region(&at, region));
    answer::list(&at, "regions", "regions", shown.collect())
}

async fn create_region(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "region")?;
    let name = fields.word("id")?;
    let changes = translate::region_changes(fields)?;
    let made = service::create_region(&at.cloud, &at.caller, name, changes).await?;
    Ok(answer::made("region", translate::region(&at, &made)))
}

async fn put_region(
    at: At,
    Path(name): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "region")?;
    fields.same_id(&name)?;
    let changes = translate::region_changes(fields)?;
    let made = service::create_region(&at.cloud, &at.caller, Some(name), changes).await?;
    Ok(answer::made("region", translate::region(&at, &made)))
}

async fn show_region(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = service::get_region(&at.cloud, &name)?;
    Ok(answer::one("region", translate::region(&at, &found)))
}

async fn update_region(
    at: At,
    Path(name): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "region")?;
    fields.same_id(&name)?;
    let changes = translate::region_changes(fields)?;
    let changed = service::update_region(&at.cloud, &at.caller, &name, changes).await?;
    Ok(answer::one("region", translate::region(&at, &changed)))
}

async fn remove_region(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    service::delete_region(&at.cloud, &at.caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_catalogue(at: At) -> Response {
    let project = match at.caller.scope {
        actions::Scope::Project { project, .. } => Some(project.0),
        _ => None,
    };
    let entries = catalogue(&at.cloud, project);
    let shown = token::shown::Catalogue(&entries);
    let own = format!("{}/auth/catalog", answer::root(&at));
    Answer(json!({ "catalog": shown, "links": { "self": own } })).into_response()
}

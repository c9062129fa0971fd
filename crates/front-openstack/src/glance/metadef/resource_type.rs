//! Paths of the types of resources that namespaces are about.

use actions::metadata_namespace::{self as namespace, Part};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::{translate, wire};
use crate::front::At;
use crate::glance::Body;
use crate::glance::error::ApiError;
use crate::route::Route;

const OF_ONE: &str = "/v2/metadefs/namespaces/{namespace}/resource_types";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2/metadefs/resource_types",
            "listMetadefResourceTypes",
            get(all),
        ),
        Route::new(OF_ONE, "listMetadefAssociations", get(list)),
        Route::new(OF_ONE, "createMetadefAssociation", post(create)),
        Route::new(
            "/v2/metadefs/namespaces/{namespace}/resource_types/{name}",
            "deleteMetadefAssociation",
            delete(remove),
        ),
    ]
}

async fn all(at: At) -> Result<Response, ApiError> {
    let types = namespace::resource_types(&at.cloud, &at.caller)?;
    let types: Vec<Value> = types.iter().map(|name| json!({ "name": name })).collect();
    Ok(Json(json!({ "resource_types": types })).into_response())
}

async fn list(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = namespace::get(&at.cloud, &at.caller, &name)?;
    let types = translate::associations(&found);
    Ok(Json(json!({ "resource_type_associations": types })).into_response())
}

async fn create(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    let body: wire::Association = wire::read("resource_type_association", body.0)?;
    let about = body.name.clone();
    let entry = translate::association(body)?;
    let changed = namespace::add(&at.cloud, &at.caller, &name, entry).await?;
    let made = changed.spec.resource_types.get(&about);
    let made = made.ok_or_else(|| namespace::missing_in(Part::ResourceTypes, &about, &name))?;
    let shown = Json(translate::association_shown(&about, made));
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn remove(at: At, path: Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (name, about) = &*path;
    namespace::take_out(&at.cloud, &at.caller, name, Part::ResourceTypes, about).await?;
    Ok(StatusCode::NO_CONTENT)
}

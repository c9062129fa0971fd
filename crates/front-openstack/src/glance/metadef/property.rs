//! Paths of the properties of a namespace.

use actions::metadata_namespace::{self as namespace, Entry, Part};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::metadata_namespace::MetadataNamespace;
use serde_json::{Value, json};

use super::{translate, wire};
use crate::front::At;
use crate::glance::Body;
use crate::glance::error::ApiError;
use crate::route::Route;

const ALL: &str = "/v2/metadefs/namespaces/{namespace}/properties";
const ONE: &str = "/v2/metadefs/namespaces/{namespace}/properties/{property}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listMetadefProperties", get(list)),
        Route::new(ALL, "createMetadefProperty", post(create)),
        Route::new(ALL, "deleteMetadefProperties", delete(clear)),
        Route::new(ONE, "showMetadefProperty", get(show)),
        Route::new(ONE, "updateMetadefProperty", put(update)),
        Route::new(ONE, "deleteMetadefProperty", delete(remove)),
    ]
}

async fn list(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = namespace::get(&at.cloud, &at.caller, &name)?;
    Ok(Json(json!({ "properties": found.spec.properties })).into_response())
}

fn shown(namespace: &MetadataNamespace, property: &str) -> Result<Value, ApiError> {
    let name = &namespace.meta.name;
    let found = namespace.spec.properties.get(property);
    let found = found.ok_or_else(|| namespace::missing_in(Part::Properties, property, name))?;
    Ok(translate::property_shown(property, found))
}

/// The property that is sent, and its name.
fn sent(body: Value) -> Result<(String, Entry), ApiError> {
    let property: wire::Property = wire::read("property", body)?;
    let name = property.name;
    let name = name.ok_or_else(|| ApiError::invalid("'name' is a required property"))?;
    Ok((
        name.clone(),
        translate::property(name, property.definition)?,
    ))
}

async fn create(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (property, entry) = sent(body.0)?;
    let changed = namespace::add(&at.cloud, &at.caller, &name, entry).await?;
    Ok((StatusCode::CREATED, Json(shown(&changed, &property)?)).into_response())
}

/// With a type of resources, the property is named with its prefix.
async fn show(at: At, path: Path<(String, String)>) -> Result<Response, ApiError> {
    let (name, property) = &*path;
    let found = namespace::get(&at.cloud, &at.caller, name)?;
    let mut bare = property.as_str();
    if let Some(about) = at.query.get("resource_type") {
        let known = found.spec.resource_types.get(about);
        let known = known.ok_or_else(|| namespace::missing_in(Part::ResourceTypes, about, name))?;
        let prefix = known.prefix.as_deref().unwrap_or_default();
        bare = bare.strip_prefix(prefix).ok_or_else(|| {
            ApiError::not_found(format!(
                "Property {property} does not start with the expected resource type association prefix of '{prefix}'."
            ))
        })?;
    }
    Ok(Json(shown(&found, bare)?).into_response())
}

async fn update(at: At, path: Path<(String, String)>, body: Body) -> Result<Response, ApiError> {
    let (name, old) = &*path;
    let (property, entry) = sent(body.0)?;
    let changed = namespace::replace(&at.cloud, &at.caller, name, old, entry).await?;
    Ok(Json(shown(&changed, &property)?).into_response())
}

async fn remove(at: At, path: Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (name, property) = &*path;
    namespace::take_out(&at.cloud, &at.caller, name, Part::Properties, property).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    namespace::clear(&at.cloud, &at.caller, &name, Part::Properties).await?;
    Ok(StatusCode::NO_CONTENT)
}

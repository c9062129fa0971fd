//! Paths of the objects of a namespace.

use actions::metadata_namespace::{self as namespace, Part};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::metadata_namespace::MetadataNamespace;

use super::{translate, wire};
use crate::front::At;
use crate::glance::Body;
use crate::glance::answer::{self, Object, Paged};
use crate::glance::error::ApiError;
use crate::route::Route;

const ALL: &str = "/v2/metadefs/namespaces/{namespace}/objects";
const ONE: &str = "/v2/metadefs/namespaces/{namespace}/objects/{object}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listMetadefObjects", get(list)),
        Route::new(ALL, "createMetadefObject", post(create)),
        Route::new(ALL, "deleteMetadefObjects", delete(clear)),
        Route::new(ONE, "showMetadefObject", get(show)),
        Route::new(ONE, "updateMetadefObject", put(update)),
        Route::new(ONE, "deleteMetadefObject", delete(remove)),
    ]
}

async fn list(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = namespace::get(&at.cloud, &at.caller, &name)?;
    let items = found.spec.objects.iter();
    let items = items.map(|(object, one)| translate::object_shown(&name, object, one, ""));
    let paged = Paged {
        noun: "objects",
        path: format!("{}/objects", translate::path(&name)),
        schema: "/v2/schemas/metadefs/objects".to_owned(),
        key: "name",
    };
    answer::page_of(&at, &paged, items.collect())
}

fn shown(namespace: &MetadataNamespace, object: &str) -> Result<Object, ApiError> {
    let name = &namespace.meta.name;
    let found = namespace.spec.objects.get(object);
    let found = found.ok_or_else(|| namespace::missing_in(Part::Objects, object, name))?;
    Ok(translate::object_shown(name, object, found, ""))
}

async fn create(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    let body: wire::Object = wire::read("object", body.0)?;
    let object = body.name.clone();
    let entry = translate::object(body)?;
    let changed = namespace::add(&at.cloud, &at.caller, &name, entry).await?;
    Ok((StatusCode::CREATED, Json(shown(&changed, &object)?)).into_response())
}

async fn show(at: At, path: Path<(String, String)>) -> Result<Response, ApiError> {
    let (name, object) = &*path;
    let found = namespace::get(&at.cloud, &at.caller, name)?;
    Ok(Json(shown(&found, object)?).into_response())
}

async fn update(at: At, path: Path<(String, String)>, body: Body) -> Result<Response, ApiError> {
    let (name, old) = &*path;
    let body: wire::Object = wire::read("object", body.0)?;
    let object = body.name.clone();
    let entry = translate::object(body)?;
    let changed = namespace::replace(&at.cloud, &at.caller, name, old, entry).await?;
    Ok(Json(shown(&changed, &object)?).into_response())
}

async fn remove(at: At, path: Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (name, object) = &*path;
    namespace::take_out(&at.cloud, &at.caller, name, Part::Objects, object).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    namespace::clear(&at.cloud, &at.caller, &name, Part::Objects).await?;
    Ok(StatusCode::NO_CONTENT)
}

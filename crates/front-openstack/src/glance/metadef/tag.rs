//! Paths of the tags of a namespace.

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
use crate::glance::answer::{self, Object, Paged};
use crate::glance::error::ApiError;
use crate::route::Route;

const ALL: &str = "/v2/metadefs/namespaces/{namespace}/tags";
const ONE: &str = "/v2/metadefs/namespaces/{namespace}/tags/{tag}";
/// Says that tags are put beside those that are there, not instead of them.
const APPEND: &str = "x-openstack-append";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listMetadefTags", get(list)),
        Route::new(ALL, "createMetadefTags", post(create_all)),
        Route::new(ALL, "deleteMetadefTags", delete(clear)),
        Route::new(ONE, "showMetadefTag", get(show)),
        Route::new(ONE, "createMetadefTag", post(create)),
        Route::new(ONE, "updateMetadefTag", put(update)),
        Route::new(ONE, "deleteMetadefTag", delete(remove)),
    ]
}

async fn list(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = namespace::get(&at.cloud, &at.caller, &name)?;
    let items = found.spec.tags.iter();
    let items = items.map(|(tag, stamp)| translate::tag_shown(tag, *stamp));
    let paged = Paged {
        noun: "tags",
        path: format!("{}/tags", translate::path(&name)),
        schema: "/v2/schemas/metadefs/tags".to_owned(),
        key: "name",
    };
    answer::page_of(&at, &paged, items.collect())
}

async fn create_all(at: At, Path(name): Path<String>, body: Body) -> Result<Response, ApiError> {
    let body: wire::Tags = wire::read("tags", body.0)?;
    let tags: Vec<String> = body.tags.into_iter().map(|tag| tag.name).collect();
    for tag in &tags {
        wire::check_name("tag", tag)?;
    }
    let append = at.headers.get(APPEND).and_then(|value| value.to_str().ok());
    let beside = append.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    namespace::set_tags(&at.cloud, &at.caller, &name, &tags, beside).await?;
    let tags: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag })).collect();
    Ok((StatusCode::CREATED, Json(json!({ "tags": tags }))).into_response())
}

fn shown(namespace: &MetadataNamespace, tag: &str) -> Result<Object, ApiError> {
    let stamp = namespace.spec.tags.get(tag);
    let stamp =
        stamp.ok_or_else(|| namespace::missing_in(Part::Tags, tag, &namespace.meta.name))?;
    Ok(translate::tag_shown(tag, *stamp))
}

async fn show(at: At, path: Path<(String, String)>) -> Result<Response, ApiError> {
    let (name, tag) = &*path;
    let found = namespace::get(&at.cloud, &at.caller, name)?;
    Ok(Json(shown(&found, tag)?).into_response())
}

async fn create(at: At, path: Path<(String, String)>) -> Result<Response, ApiError> {
    let (name, tag) = &*path;
    wire::check_name("tag", tag)?;
    let entry = Entry::Tag(tag.clone());
    let changed = namespace::add(&at.cloud, &at.caller, name, entry).await?;
    Ok((StatusCode::CREATED, Json(shown(&changed, tag)?)).into_response())
}

async fn update(at: At, path: Path<(String, String)>, body: Body) -> Result<Response, ApiError> {
    let (name, old) = &*path;
    let body: wire::Tag = wire::read("tag", body.0)?;
    let tag = body.name.clone();
    let entry = translate::tag(body)?;
    let changed = namespace::replace(&at.cloud, &at.caller, name, old, entry).await?;
    Ok(Json(shown(&changed, &tag)?).into_response())
}

async fn remove(at: At, path: Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (name, tag) = &*path;
    namespace::take_out(&at.cloud, &at.caller, name, Part::Tags, tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    namespace::clear(&at.cloud, &at.caller, &name, Part::Tags).await?;
    Ok(StatusCode::NO_CONTENT)
}

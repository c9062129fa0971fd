//! Paths of the words that users keep with volumes and snapshots.

use std::collections::BTreeMap;

use actions::snapshot::SnapshotChange;
use actions::volume::sized::VolumeChange;
use actions::{snapshot, volume};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::Id;
use serde_json::{Value, json};

use crate::cinder::Body;
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, words_of};
use crate::cinder::here::{Here, path_id};
use crate::route::Route;

/// What has such words.
#[derive(Clone, Copy)]
enum Noun {
    Volume,
    Snapshot,
}

type Words = BTreeMap<String, String>;
type OfKey = Path<(String, String, String)>;
type OfOne = Path<(String, String)>;

macro_rules! routes_of {
    ($noun:expr, $path:literal, $names:expr) => {{
        let names: [&'static str; 6] = $names;
        [
            Route::new(
                concat!($path, "/metadata"),
                names[0],
                get(|here: Here, path: OfOne| list($noun, here, path)),
            ),
            Route::new(
                concat!($path, "/metadata"),
                names[1],
                post(|here: Here, path: OfOne, body: Body| add($noun, here, path, body)),
            ),
            Route::new(
                concat!($path, "/metadata"),
                names[2],
                put(|here: Here, path: OfOne, body: Body| replace($noun, here, path, body)),
            ),
            Route::new(
                concat!($path, "/metadata/{key}"),
                names[3],
                get(|here: Here, path: OfKey| show($noun, here, path)),
            ),
            Route::new(
                concat!($path, "/metadata/{key}"),
                names[4],
                put(|here: Here, path: OfKey, body: Body| set($noun, here, path, body)),
            ),
            Route::new(
                concat!($path, "/metadata/{key}"),
                names[5],
                delete(|here: Here, path: OfKey| remove($noun, here, path)),
            ),
        ]
    }};
}

pub(crate) fn routes() -> Vec<Route> {
    let volumes = routes_of!(
        Noun::Volume,
        "/v3/{project}/volumes/{volume}",
        [
            "listVolumeMetadata",
            "createVolumeMetadata",
            "replaceVolumeMetadata",
            "showVolumeMetadata",
            "updateVolumeMetadata",
            "deleteVolumeMetadata",
        ]
    );
    let snapshots = routes_of!(
        Noun::Snapshot,
        "/v3/{project}/snapshots/{snapshot}",
        [
            "listSnapshotMetadata",
            "createSnapshotMetadata",
            "replaceSnapshotMetadata",
            "showSnapshotMetadata",
            "updateSnapshotMetadata",
            "deleteSnapshotMetadata",
        ]
    );
    volumes.into_iter().chain(snapshots).collect()
}

fn id_of(noun: Noun, text: &str) -> Result<Id, ApiError> {
    let kind = match noun {
        Noun::Volume => "Volume",
        Noun::Snapshot => "Snapshot",
    };
    path_id(kind, text)
}

fn words(noun: Noun, here: &Here, id: Id) -> Result<Words, ApiError> {
    Ok(match noun {
        Noun::Volume => {
            let view = volume::show(&here.cloud, &here.caller, id)?;
            view.volume.spec.metadata.clone()
        }
        Noun::Snapshot => {
            let view = snapshot::get(&here.cloud, &here.caller, id)?;
            view.snapshot.spec.metadata.clone()
        }
    })
}

async fn store(noun: Noun, here: &Here, id: Id, words: Words) -> Result<(), ApiError> {
    let metadata = Some(words);
    match noun {
        Noun::Volume => {
            let change = VolumeChange {
                metadata,
                ..VolumeChange::default()
            };
            volume::sized::update(&here.cloud, &here.caller, id, change).await?;
        }
        Noun::Snapshot => {
            let change = SnapshotChange {
                metadata,
                ..SnapshotChange::default()
            };
            snapshot::update(&here.cloud, &here.caller, id, change).await?;
        }
    }
    Ok(())
}

fn shown(words: &Words) -> Response {
    Json(json!({ "metadata": words })).into_response()
}

fn given(body: Value) -> Result<Words, ApiError> {
    let mut fields = Fields::all(body, "body")?;
    let metadata = fields.take("metadata");
    let metadata =
        metadata.ok_or_else(|| ApiError::invalid("'metadata' is a required property"))?;
    fields.done()?;
    words_of("metadata", metadata)
}

async fn list(noun: Noun, here: Here, path: OfOne) -> Result<Response, ApiError> {
    Ok(shown(&words(noun, &here, id_of(noun, &path.1)?)?))
}

async fn add(noun: Noun, here: Here, path: OfOne, body: Body) -> Result<Response, ApiError> {
    let id = id_of(noun, &path.1)?;
    let more = given(body.0)?;
    let mut all = words(noun, &here, id)?;
    all.extend(more);
    store(noun, &here, id, all.clone()).await?;
    Ok(shown(&all))
}

async fn replace(noun: Noun, here: Here, path: OfOne, body: Body) -> Result<Response, ApiError> {
    let id = id_of(noun, &path.1)?;
    let all = given(body.0)?;
    store(noun, &here, id, all.clone()).await?;
    Ok(shown(&all))
}

fn missing(key: &str) -> ApiError {
    ApiError::not_found(format!("Metadata item {key} was not found"))
}

async fn show(noun: Noun, here: Here, path: OfKey) -> Result<Response, ApiError> {
    let (_, id, key) = &*path;
    let all = words(noun, &here, id_of(noun, id)?)?;
    let value = all.get(key).ok_or_else(|| missing(key))?;
    Ok(Json(json!({ "meta": { key: value } })).into_response())
}

async fn set(noun: Noun, here: Here, path: OfKey, body: Body) -> Result<Response, ApiError> {
    let (_, id, key) = &*path;
    let id = id_of(noun, id)?;
    let mut fields = Fields::all(body.0, "body")?;
    let one = fields.take("meta");
    let one = words_of(
        "meta",
        one.ok_or_else(|| ApiError::invalid("'meta' is a required property"))?,
    )?;
    let value = match one.get(key) {
        Some(value) if one.len() == 1 => value.clone(),
        Some(_) => return Err(ApiError::invalid("Request body contains too many items")),
        None => return Err(ApiError::invalid("Request body and URI mismatch")),
    };
    let mut all = words(noun, &here, id)?;
    all.insert(key.clone(), value);
    store(noun, &here, id, all).await?;
    Ok(Json(json!({ "meta": one })).into_response())
}

async fn remove(noun: Noun, here: Here, path: OfKey) -> Result<StatusCode, ApiError> {
    let (_, id, key) = &*path;
    let id = id_of(noun, id)?;
    let mut all = words(noun, &here, id)?;
    all.remove(key).ok_or_else(|| missing(key))?;
    store(noun, &here, id, all).await?;
    Ok(StatusCode::OK)
}

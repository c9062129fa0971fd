//! `POST /commit`: an image of a container.

use actions::commit::{self, NewCommit};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::transfer::reference;
use crate::container::lookup::{about, find};
use crate::container::translate::config;
use crate::container::wire::{Config, Origin};
use crate::error::ApiError;
use crate::front::At;
use crate::json::Json;

pub(crate) async fn commit(at: At, Json(wanted): Json<Config>) -> Result<Response, ApiError> {
    let view = find(&at, at.form.get("container"))?;
    let id = view.instance.meta.id;
    let container = view
        .instance
        .spec
        .containers
        .first()
        .cloned()
        .unwrap_or_default();
    let own = Config {
        labels: view.instance.meta.labels.clone(),
        ..config::shown(Origin::of(&view.instance.spec).config, &container)
    };
    let own = config::defaults(&own);
    let new = NewCommit {
        reference: at
            .form
            .non_empty("repo")
            .map(|repository| reference(repository, at.form.get("tag"))),
        author: at.form.get("author").to_owned(),
        message: at.form.get("comment").to_owned(),
        changes: at.form.all("changes"),
        pause: at.form.is_true_or("pause", true),
        // Clients that want none send an empty one.
        wanted: wanted
            .map(|wanted| config::defaults(&wanted))
            .filter(|wanted| *wanted != config::defaults(&Config::default()))
            .unwrap_or_else(|| own.clone()),
        own,
    };
    let image = commit::commit(&at.cloud, &at.caller, id, new)
        .await
        .map_err(|error| about(id, error))?;
    Ok((StatusCode::CREATED, axum::Json(json!({ "Id": image.id }))).into_response())
}

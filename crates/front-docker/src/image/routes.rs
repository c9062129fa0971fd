//! Paths of images.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use actions::{image, instance};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use model::image::Image;
use regex_lite::Regex;
use serde_json::Value;

use super::lookup::{check_platform, find};
use super::transfer::{self, reference};
use super::translate::{familiar, history, inspect, removed, summary};
use super::{commit, distribution, prune, push, search, translate};
use crate::container::prune::earliest_until;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::{At, Path};
use crate::router::Route;

const FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/images/json", "ImageList", get(list)),
        Route::new("/images/create", "ImageCreate", post(transfer::create)),
        Route::new("/images/load", "ImageLoad", post(transfer::load)),
        Route::new("/images/get", "ImageGetAll", get(transfer::save_all)),
        Route::new("/images/prune", "ImagePrune", post(prune::prune)),
        Route::new("/commit", "ImageCommit", post(commit::commit)),
        Route::new("/images/{name}/json", "ImageInspect", get(inspect_one)),
        Route::new("/images/{name}/history", "ImageHistory", get(history_of)),
        Route::new("/images/{name}/get", "ImageGet", get(transfer::save_one)),
        Route::new("/images/{name}/push", "ImagePush", post(push::push)),
        Route::new("/images/search", "ImageSearch", get(search::search)),
        Route::new(
            "/distribution/{name}/json",
            "DistributionInspect",
            get(distribution::inspect),
        ),
        Route::new("/images/{name}/tag", "ImageTag", post(tag)),
        Route::new("/images/{name}", "ImageDelete", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let dangling = filters.boolean("dangling")?;
    let until = earliest_until(&filters)?;
    let created = |name| -> Result<_, ApiError> {
        let named = filters
            .values(name)
            .last()
            .map(|name| find(&at, name))
            .transpose()?;
        Ok(named.map(|image| image.created_at))
    };
    let (before, since) = (created("before")?, created("since")?);
    let before_filters = at.form.non_empty("filter").filter(|_| !at.version.has(41));
    let references = filters.values("reference").chain(before_filters);
    let references: Vec<Regex> = references.map(glob).collect::<Result<_, _>>()?;
    let mut users: HashMap<String, i64> = HashMap::new();
    for view in instance::list(&at.cloud, &at.caller) {
        for container in &view.instance.spec.containers {
            *users.entry(container.image_id.clone()).or_default() += 1;
        }
    }
    let is_shown = |image: &Image| {
        let is_dangling = image.tags.is_empty();
        dangling.is_none_or(|dangling| dangling == is_dangling)
            && filters.matches_labels("label", &image.defaults.labels)
            && before.is_none_or(|before| image.created_at < before)
            && since.is_none_or(|since| image.created_at > since)
            && until
                .is_none_or(|until| image.created_at.is_none_or(|created_at| created_at < until))
            && (references.is_empty() || image.tags.iter().any(|tag| is_named(&references, tag)))
    };
    let summaries: Vec<_> = image::list(&at.cloud, &at.caller)
        .iter()
        .filter(|image| is_shown(image))
        .map(|image| {
            let count = users.get(&image.id).copied().unwrap_or(0);
            let mut shown = Cow::Borrowed(Arc::as_ref(image));
            if !references.is_empty() {
                let shown = shown.to_mut();
                shown.tags.retain(|tag| is_named(&references, tag));
                shown.digests.retain(|name| is_named(&references, name));
            }
            summary(&shown, count, at.version)
        })
        .collect();
    Ok(axum::Json(summaries).into_response())
}

/// A shell pattern over names; `*` stops at slashes, as Go's does.
fn glob(pattern: &str) -> Result<Regex, ApiError> {
    let mut expression = String::from("^");
    for letter in pattern.chars() {
        match letter {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' => expression.push(letter),
            letter if letter.is_alphanumeric() || "-_/".contains(letter) => expression.push(letter),
            letter => {
                expression.push('\\');
                expression.push(letter);
            }
        }
    }
    expression.push('$');
    Regex::new(&expression)
        .map_err(|_| ApiError::invalid(format!("{pattern}: syntax error in pattern")))
}

/// Whether a pattern matches a name, with or without its tag.
fn is_named(patterns: &[Regex], tag: &str) -> bool {
    let short = familiar(tag);
    let bare = short.rsplit_once(':').map_or(short, |(name, _)| name);
    patterns
        .iter()
        .any(|pattern| [short, bare, tag].iter().any(|name| pattern.is_match(name)))
}

/// The image of a name, which must be for the platform that is asked for since that version.
pub(super) fn named(at: &At, name: &str, platform_since: u32) -> Result<Arc<Image>, ApiError> {
    let image = find(at, name)?;
    // Newer clients send a platform as a JSON document.
    if let Some(text) = at
        .form
        .non_empty("platform")
        .filter(|_| at.version.has(platform_since))
    {
        let document: Value = serde_json::from_str(text)
            .map_err(|error| ApiError::invalid(format!("failed to parse platform: {error}")))?;
        let part = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let parts = [part("os"), part("architecture"), part("variant")];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        check_platform(&image, &parts.join("/"))?;
    }
    Ok(image)
}

async fn inspect_one(
    at: At,
    client: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let image = named(&at, &name, 49)?;
    let mut shown = inspect(image.as_ref(), at.version);
    if needs_container_config(&client) {
        let config = translate::config(&image.defaults, at.version);
        shown.container_config = Some(config);
    }
    Ok(axum::Json(shown).into_response())
}

/// QUIRK(docker-compose 1.29): to make a container anew it looks for the image's volumes in
/// `ContainerConfig`, though it speaks the newest version, which has none.
fn needs_container_config(client: &HeaderMap) -> bool {
    let agent = client.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("docker-compose/1."))
}

async fn history_of(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    Ok(axum::Json(history(named(&at, &name, 48)?.as_ref())).into_response())
}

async fn tag(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let repository = at.form.get("repo");
    if repository.is_empty() {
        return Err(ApiError::invalid("invalid reference format"));
    }
    let target = reference(repository, at.form.get("tag"));
    if translate::familiar(&target).split(':').next() == Some("sha256") {
        return Err(ApiError::invalid(
            "refusing to create an ambiguous tag using digest algorithm as name",
        ));
    }
    image::tag(&at.cloud, &at.caller, &name, &target).await?;
    Ok(StatusCode::CREATED)
}

async fn remove(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    if name.trim().is_empty() {
        return Err(ApiError::invalid("image name cannot be blank"));
    }
    let (force, prune) = (at.form.is_true("force"), !at.form.is_true("noprune"));
    let gone = image::remove(&at.cloud, &at.caller, &name, force, prune).await?;
    Ok(axum::Json(gone.iter().map(removed).collect::<Vec<_>>()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_with_and_without_tags() {
        let matches = |pattern: &str, tag: &str| is_named(&[glob(pattern).unwrap()], tag);
        assert!(matches("busy*", "docker.io/library/busybox:latest"));
        assert!(matches("busybox:l*", "docker.io/library/busybox:latest"));
        assert!(matches("*/what", "docker.io/who/what:1"));
        assert!(!matches("*", "docker.io/who/what:1"));
    }
}

//! Paths of builds.

use actions::build::{self, CachedStep, FailedBuild, Files, NewBuild, Parts, Remote};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::prune::{Prune, prune_chosen};
use super::stream::Told;
use super::translate::{remote, to_model};
use crate::container::create::Around;
use crate::container::json_lines;
use crate::container::prune::until;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;
use crate::image::credentials;
use crate::router::Route;

/// Lines that wait for a slow client.
const WAITING_LINES: usize = 256;

/// How clients before buildx say that they have a session.
const BUILDKIT: &str = "2";

const FILTERS: [&str; 3] = ["until", "id", "unused-for"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/build", "ImageBuild", post(build)),
        Route::new("/build/prune", "BuildPrune", post(prune)),
    ]
}

/// Builds an image. Progress comes as JSON lines, and so does a failure once there was progress.
async fn build(at: At, request: Request) -> Result<Response, ApiError> {
    if at.form.get("version") == BUILDKIT {
        return crate::buildkit::build(at, request).await;
    }
    let around = Around::new(&at)?;
    let mut new = to_model(&at.form, at.version, &around)?;
    new.credentials = credentials::read_all(request.headers());
    let quiet = at.form.is_true("q");
    let place = match at.form.non_empty("remote") {
        Some(text) => Place::Remote(remote(text, &new.request)?),
        None => Place::Here(Box::new(edge::body::reader(request.into_body()))),
    };
    let (lines, mut heard) = mpsc::channel::<build::Event>(WAITING_LINES);
    let (sender, body) = edge::body::channel(WAITING_LINES);
    let (began, has_begun) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let names = new.names.clone();
        let mut told = Told::new(sender.clone(), quiet, began);
        let done = {
            let tell = async {
                while let Some(event) = heard.recv().await {
                    told.tell(event.line).await;
                }
            };
            let building = build_and_tell(&at, place, new, lines);
            let both = async { tokio::join!(building, tell).0 };
            tokio::select! {
                done = both => done,
                // A client that leaves ends the build.
                () = sender.closed() => return,
            }
        };
        match done {
            Ok(image) => told.succeeded(&image, &names).await,
            Err(error) => told.failed(error).await,
        }
    });
    match has_begun.await {
        Ok(Err(error)) => Err(ApiError::from(error)),
        _ => Ok(json_lines(body)),
    }
}

/// Where the context of a build is.
enum Place {
    Here(build::Context),
    Remote(Remote),
}

async fn build_and_tell(
    at: &At,
    place: Place,
    mut new: NewBuild,
    lines: mpsc::Sender<build::Event>,
) -> Result<String, FailedBuild> {
    let context = match place {
        Place::Here(context) => context,
        Place::Remote(remote) => {
            let fetched = build::fetch(&at.cloud, &at.caller, &remote, None).await?;
            let Parts {
                archive,
                dockerfile,
            } = build::context(fetched)?;
            new.request.dockerfile_text = dockerfile;
            archive
        }
    };
    let built = build::build(&at.cloud, &at.caller, Files::of(context), new, lines).await;
    built.map(|image| image.id.clone())
}

/// Removes what builds left: what no image has, or with `all` everything.
async fn prune(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let keep_bytes = ["reserved-space", "keep-storage"]
        .into_iter()
        .find_map(|name| at.form.number(name).transpose())
        .transpose()?;
    let ids = filters.values("id").map(str::to_owned).collect();
    let prune = Prune {
        all: at.form.is_true("all"),
        before: until(&filters)?,
        keep_bytes: keep_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        ids: filters.has("id").then_some(ids),
    };
    let (gone, freed) = prune_chosen(&at, &prune).await?;
    let keys: Vec<_> = gone.into_iter().map(|step| step.key).collect();
    let deleted = Some(keys).filter(|keys| !keys.is_empty());
    Ok(axum::Json(json!({ "CachesDeleted": deleted, "SpaceReclaimed": freed })).into_response())
}

/// What builds left, for `/system/df`.
pub(crate) fn usage(at: &At) -> Vec<Value> {
    let steps = build::cached(&at.cloud, &at.caller);
    steps.iter().map(shown).collect()
}

fn shown(step: &CachedStep) -> Value {
    let time = |at: Timestamp| at.to_string();
    json!({
        "ID": step.key,
        "Parents": null,
        "Type": "regular",
        "Description": step.created_by,
        "InUse": false,
        "Shared": step.is_shared,
        "Size": step.size_bytes,
        "CreatedAt": time(step.made_at),
        "LastUsedAt": time(step.used_at),
        "UsageCount": step.uses,
    })
}

#[cfg(test)]
mod tests {
    use super::super::stream::failed;
    use super::*;

    #[test]
    fn a_failure_has_the_exit_status_of_its_command() {
        let line = failed("it failed", Some(3));
        assert_eq!(
            line,
            json!({ "errorDetail": { "code": 3, "message": "it failed" }, "error": "it failed" })
        );
    }
}

//! Images in and out as tar archives: load, save, import.

use actions::image::{self, NewImport};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::progress::{failure, line_of};
use super::routes::named;
use super::short_digest;
use crate::container::json_lines;
use crate::error::ApiError;
use crate::front::{At, Path};

const TAR: &str = "application/x-tar";

/// Lines of progress that wait for a slow client before further ones are left out.
const WAITING_LINES: usize = 256;

/// Loads an archive. Progress comes as JSON lines; so does a failure, for the answer has begun.
pub(crate) async fn load(at: At, request: Request) -> Response {
    let quiet = at.form.is_true_or("quiet", true);
    let (sender, body) = edge::body::channel(WAITING_LINES);
    tokio::spawn(async move {
        let archive = Box::new(edge::body::reader(request.into_body()));
        let progress = sender.clone();
        let loaded = image::load(&at.cloud, &at.caller, archive, move |step| {
            if quiet {
                return;
            }
            let line = json!({
                "status": "Loading layer",
                "progressDetail": { "current": step.current_bytes, "total": step.total_bytes },
                "id": short_digest(&step.layer),
            });
            // A slow client misses steps, never the end.
            drop(progress.try_send(line_of(&line)));
        })
        .await;
        match loaded {
            Ok(loaded) => {
                for image in loaded {
                    if let (Some(reference), Some(old)) = (&image.reference, &image.displaced) {
                        let words = format!(
                            "The image {reference} already exists, renaming the old one with ID {old} to empty string\n"
                        );
                        send(&sender, &json!({ "stream": words })).await;
                    }
                    let words = match &image.reference {
                        Some(reference) => format!("Loaded image: {reference}\n"),
                        None => format!("Loaded image ID: {}\n", image.id),
                    };
                    send(&sender, &json!({ "stream": words })).await;
                }
            }
            Err(error) => send(&sender, &failure(&error.message)).await,
        }
    });
    json_lines(body)
}

async fn send(sender: &mpsc::Sender<Bytes>, document: &Value) {
    if sender.send(line_of(document)).await.is_err() {
        tracing::debug!("a client left before the end of a load");
    }
}

/// Saves the images named by the parameter.
pub(crate) async fn save_all(at: At) -> Result<Response, ApiError> {
    let names = at.form.all("names");
    save(&at, &names).await
}

/// Saves one image.
pub(crate) async fn save_one(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    save(&at, &[name]).await
}

async fn save(at: &At, names: &[String]) -> Result<Response, ApiError> {
    if names.is_empty() {
        return Err(ApiError::invalid(
            "no images to save: the parameter 'names' is missing",
        ));
    }
    match at.form.all("platform").as_slice() {
        [] => {}
        [_] => {
            for name in names {
                named(at, name, 48)?;
            }
        }
        _ => {
            return Err(ApiError::invalid(
                "multiple platform parameters not supported",
            ));
        }
    }
    let archive = image::save(&at.cloud, &at.caller, names).await?;
    Ok(([(CONTENT_TYPE, TAR)], edge::body::from_reader(archive)).into_response())
}

/// Pulls an image, or imports a root file system.
pub(crate) async fn create(at: At, request: Request) -> Result<Response, ApiError> {
    if at.form.non_empty("fromImage").is_some() {
        return super::pull::pull(at, request.headers()).await;
    }
    let source = at.form.get("fromSrc");
    if source != "-" {
        return Err(ApiError::unsupported(format!(
            "fromSrc={source}: importing from a URL is not supported; send the archive with the request (fromSrc=-)"
        )));
    }
    let message = match at.form.get("message") {
        "" => format!("Imported from {source}"),
        message => message.to_owned(),
    };
    let new = NewImport {
        reference: at
            .form
            .non_empty("repo")
            .map(|repo| reference(repo, at.form.get("tag"))),
        message,
        changes: at.form.all("changes"),
        platform: at.form.non_empty("platform").map(ToOwned::to_owned),
    };
    let archive = Box::new(edge::body::reader(request.into_body()));
    let image = image::import(&at.cloud, &at.caller, archive, new).await?;
    Ok(json_lines(line_of(&json!({ "status": image.id })).into()))
}

/// A name with a tag given apart; the latter wins.
pub(crate) fn reference(repository: &str, tag: &str) -> String {
    if tag.is_empty() {
        return repository.to_owned();
    }
    let path = repository.rfind('/').map_or(0, |slash| slash + 1);
    let bare = match repository[path..].find(':') {
        Some(colon) => &repository[..path + colon],
        None => repository,
    };
    format!("{bare}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_given_apart_wins() {
        assert_eq!(reference("localhost:5000/a:1", "2"), "localhost:5000/a:2");
        assert_eq!(reference("localhost:5000/a", ""), "localhost:5000/a");
        assert_eq!(reference("a", "b"), "a:b");
    }
}

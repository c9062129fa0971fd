//! Paths of execs.

use actions::{ActionError, exec};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::UPGRADE;
use model::instance::Phase;
use tokio::io::AsyncWriteExt;

use super::translate::{from_model, terminal_size, to_model};
use super::wire::{Create, Created, Start};
use crate::container::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::json::Json;
use crate::router::Route;
use crate::stream::{DetachKeys, Ended, RAW, Session, content_type, first_bytes_at};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/containers/{name}/exec", "ContainerExec", post(create)),
        Route::new("/exec/{id}/start", "ExecStart", post(start)),
        Route::new("/exec/{id}/resize", "ExecResize", post(resize)),
        Route::new("/exec/{id}/json", "ExecInspect", get(inspect)),
    ]
}

async fn create(
    at: At,
    Path(name): Path<String>,
    Json(create): Json<Create>,
) -> Result<Response, ApiError> {
    let spec = to_model(create.unwrap_or_default(), at.version)?;
    let view = find(&at, &name)?;
    if view.status.phase == Phase::Paused {
        // By the name that was asked for, as dockerd.
        return Err(ApiError::conflict(format!(
            "Container {name} is paused, unpause the container before exec"
        )));
    }
    let id = view.instance.meta.id;
    let exec = exec::create(&at.cloud, &at.caller, id, spec)
        .await
        .map_err(|error| about(id, error))?;
    Ok((StatusCode::CREATED, axum::Json(Created { id: exec })).into_response())
}

/// What an exec's error says, with the identifier of its container that clients know.
async fn told(at: &At, id: &str, error: ActionError) -> ApiError {
    match exec::get(&at.cloud, &at.caller, id).await {
        Ok((container, _)) => about(container, error),
        Err(_) => error.into(),
    }
}

async fn start(at: At, Path(id): Path<String>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let Json(start) =
        Json::<Start>::from_request(Request::from_parts(parts.clone(), body), &()).await?;
    let start = start.unwrap_or_default();
    let (container, status) = match exec::startable(&at.cloud, &at.caller, &id).await {
        Ok(found) => found,
        Err(error) => return Err(told(&at, &id, error).await),
    };
    let spec = status.spec;
    let size = terminal_size(start.console_size, start.tty, at.version);
    if start.detach {
        if let Err(error) = exec::start(&at.cloud, &at.caller, &id, true, size).await {
            return Err(told(&at, &id, error).await);
        }
        return Ok(StatusCode::OK.into_response());
    }
    let keys = DetachKeys::parse(&spec.detach_keys)?;
    let tty = spec.tty;
    let content_type = if parts.headers.contains_key(UPGRADE) {
        content_type(start.tty, at.version)
    } else {
        RAW
    };
    let first_bytes_at = first_bytes_at(&parts.headers);
    let session = move |mut connection: edge::hijack::Connection| async move {
        match exec::start(&at.cloud, &at.caller, &id, false, size).await {
            Ok((output, input)) => {
                let session = Session {
                    output,
                    input,
                    stdout: spec.stdout,
                    stderr: spec.stderr,
                    tty,
                    framed: !start.tty,
                    first_bytes_at,
                    detach_keys: tty.then_some(keys),
                    close_input: !tty,
                };
                if session.run(connection).await == Ended::Detached {
                    exec::detached(&at.cloud, &at.caller, container, &id);
                }
            }
            // The answer has begun: the failure is told in the stream.
            Err(error) => {
                let words = format!("{}\r\n", told(&at, &id, error).await.message);
                let bytes = if start.tty {
                    words.into()
                } else {
                    crate::stream::frame(model::stream::Stream::Stdout, words.as_bytes())
                };
                let told = async {
                    connection.write_all(&bytes).await?;
                    connection.shutdown().await
                };
                if let Err(error) = told.await {
                    tracing::debug!(%error, %container, "a client left its exec");
                }
            }
        }
    };
    edge::hijack::hijack(&parts, "tcp", content_type, session)
        .map_err(|error| ApiError::invalid(format!("error starting exec: {error}")))
}

async fn resize(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let size = at.form.terminal_size()?;
    match exec::resize(&at.cloud, &at.caller, &id, size).await {
        Ok(()) => Ok(StatusCode::OK),
        Err(error) => Err(told(&at, &id, error).await),
    }
}

async fn inspect(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (container, status) = exec::get(&at.cloud, &at.caller, &id).await?;
    Ok(axum::Json(from_model(id, container, status)).into_response())
}

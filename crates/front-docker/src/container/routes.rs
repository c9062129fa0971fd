//! Paths of containers, and the operations that need few words: start, stop, wait, remove.

use actions::instance::{self, RemoveOptions, WaitFor};
use actions::{ActionError, ErrorKind, stream};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use model::instance::StopRequest;
use serde_json::json;

use super::lookup::{about, about_any, find};
use super::{archive, attach, create, inspect, list, logs, prune, show, signal, stats, update};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::id::docker_id;
use crate::router::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/containers/json", "ContainerList", get(list::list)),
        Route::new(
            "/containers/create",
            "ContainerCreate",
            post(create::create),
        ),
        Route::new("/containers/prune", "ContainerPrune", post(prune::prune)),
        Route::new(
            "/containers/{name}/json",
            "ContainerInspect",
            get(inspect::inspect),
        ),
        Route::new("/containers/{name}/top", "ContainerTop", get(stats::top)),
        Route::new("/containers/{name}/logs", "ContainerLogs", get(logs::logs)),
        Route::new(
            "/containers/{name}/changes",
            "ContainerChanges",
            get(archive::changes),
        ),
        Route::new(
            "/containers/{name}/export",
            "ContainerExport",
            get(archive::export),
        ),
        Route::new(
            "/containers/{name}/stats",
            "ContainerStats",
            get(stats::stats),
        ),
        Route::new("/containers/{name}/resize", "ContainerResize", post(resize)),
        Route::new("/containers/{name}/start", "ContainerStart", post(start)),
        Route::new("/containers/{name}/stop", "ContainerStop", post(stop)),
        Route::new(
            "/containers/{name}/restart",
            "ContainerRestart",
            post(restart),
        ),
        Route::new("/containers/{name}/kill", "ContainerKill", post(kill)),
        Route::new(
            "/containers/{name}/update",
            "ContainerUpdate",
            post(update::update),
        ),
        Route::new(
            "/containers/{name}/rename",
            "ContainerRename",
            post(update::rename),
        ),
        Route::new("/containers/{name}/pause", "ContainerPause", post(pause)),
        Route::new(
            "/containers/{name}/unpause",
            "ContainerUnpause",
            post(unpause),
        ),
        Route::new(
            "/containers/{name}/attach",
            "ContainerAttach",
            post(attach::attach),
        ),
        Route::new(
            "/containers/{name}/attach/ws",
            "ContainerAttachWebsocket",
            get(attach::attach_websocket),
        ),
        Route::new("/containers/{name}/wait", "ContainerWait", post(wait)),
        Route::new(
            "/containers/{name}",
            "ContainerDelete",
            axum::routing::delete(remove),
        ),
        // A link is removed by the path that names it: the container, then its name for the other.
        Route::new(
            "/containers/{name}/{alias}",
            "ContainerDelete",
            axum::routing::delete(remove_link),
        ),
        // The same path has three operations.
        Route::new(
            "/containers/{name}/archive",
            "ContainerArchiveInfo",
            axum::routing::head(archive::stat),
        ),
        Route::new(
            "/containers/{name}/archive",
            "ContainerArchive",
            get(archive::read),
        ),
        Route::new(
            "/containers/{name}/archive",
            "PutContainerArchive",
            axum::routing::put(archive::write),
        ),
    ]
}

async fn start(at: At, Path(name): Path<String>, request: Request) -> Result<StatusCode, ApiError> {
    let headers = request.headers();
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > 7) || headers.contains_key(TRANSFER_ENCODING) {
        return Err(ApiError::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if !at.form.get("checkpoint").is_empty() {
        return Err(ApiError::invalid(
            "checkpoint: checkpoints are not supported by this daemon",
        ));
    }
    let view = find(&at, &name)?;
    instance::start(&at.cloud, &at.caller, view.instance.meta.id)
        .await
        .map_err(|error| about_any(&view, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// How to stop, as the request says.
fn stop_request(at: &At) -> Result<StopRequest, ApiError> {
    let signal = at.form.non_empty("signal").filter(|_| at.version.has(42));
    if let Some(text) = signal.filter(|text| !signal::is_known(text)) {
        return Err(ApiError::invalid(format!("invalid signal: {text}")));
    }
    Ok(StopRequest {
        signal: signal.map(ToOwned::to_owned),
        timeout_secs: at.form.number("t")?,
    })
}

async fn stop(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let how = stop_request(&at)?;
    let id = find(&at, &name)?.instance.meta.id;
    instance::stop(&at.cloud, &at.caller, id, how)
        .await
        .map_err(|error| about(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let how = stop_request(&at)?;
    let id = find(&at, &name)?.instance.meta.id;
    instance::restart(&at.cloud, &at.caller, id, how)
        .await
        .map_err(|error| {
            about(id, error).while_trying(&format!("Cannot restart container {name}"))
        })?;
    Ok(StatusCode::NO_CONTENT)
}

async fn kill(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let cannot = |error: ApiError| error.while_trying(&format!("cannot kill container: {name}"));
    let wanted = at.form.non_empty("signal");
    if let Some(text) = wanted.filter(|text| !signal::is_known(text)) {
        return Err(cannot(ApiError::invalid(format!("invalid signal: {text}"))));
    }
    let id = find(&at, &name).map_err(cannot)?.instance.meta.id;
    instance::kill(&at.cloud, &at.caller, id, wanted)
        .await
        .map_err(|error| cannot(about(id, error)))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let id = find(&at, &name)?.instance.meta.id;
    instance::pause(&at.cloud, &at.caller, id)
        .await
        .map_err(|error| about(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unpause(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let id = find(&at, &name)?.instance.meta.id;
    instance::unpause(&at.cloud, &at.caller, id)
        .await
        .map_err(|error| about(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers the head at once, so that a client knows that nothing from now on is missed, and the
/// exit status when there is one. Versions before 1.30 waited for both.
async fn wait(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let is_streamed = at.version.has(30);
    let what = match at.form.get("condition") {
        "" | "not-running" => WaitFor::NotRunning,
        _ if !is_streamed => WaitFor::NotRunning,
        "next-exit" => WaitFor::NextExit,
        "removed" => WaitFor::Removed,
        other => return Err(ApiError::invalid(format!("invalid condition: {other:?}"))),
    };
    let id = find(&at, &name)?.instance.meta.id;
    let exit = instance::wait(&at.cloud, &at.caller, id, what).map_err(|error| about(id, error))?;
    let answer = async move {
        let document = match exit.await {
            Ok(exit) => json!({ "StatusCode": exit.code }),
            Err(error) => {
                json!({ "StatusCode": -1, "Error": { "Message": about(id, error).message } })
            }
        };
        Bytes::from(format!("{document}\n"))
    };
    let body = if is_streamed {
        Body::from_stream(futures_util::stream::once(async move {
            Ok::<_, std::io::Error>(answer.await)
        }))
    } else {
        Body::from(answer.await)
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

async fn resize(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let size = at.form.terminal_size()?;
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    if !view.is_up() {
        return Err(ApiError::conflict(format!(
            "container {} is not running",
            docker_id(id)
        )));
    }
    stream::resize(&at.cloud, &at.caller, id, size)
        .await
        .map_err(|error| about(id, error))?;
    Ok(StatusCode::OK)
}

async fn remove(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    if at.form.is_true("link") {
        return Err(ApiError::conflict(
            "Conflict, cannot remove the default link name of the container",
        ));
    }
    let options = RemoveOptions {
        force: at.form.is_true("force"),
        volumes: at.form.is_true("v"),
    };
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    if !options.force && (view.is_up() || view.is_restarting()) {
        let why = match show::state(&view) {
            "paused" => "container is paused and must be unpaused first".to_owned(),
            state => {
                format!("container is {state}: stop the container before removing or force remove")
            }
        };
        return Err(ApiError::conflict(format!(
            "cannot remove container {name:?}: {why}"
        )));
    }
    instance::remove(&at.cloud, &at.caller, id, options)
        .await
        .map_err(|error| about(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /containers/{name}/{alias}?link=1`, as `docker rm --link name/alias` asks.
async fn remove_link(
    at: At,
    Path((name, alias)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if !at.form.is_true("link") {
        return Err(ApiError::not_found(format!(
            "No such container: {name}/{alias}"
        )));
    }
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    let changed = instance::update(&at.cloud, &at.caller, id, |spec| {
        let mut found = false;
        for attachment in &mut spec.attachments {
            attachment.links.retain(|(_, own)| {
                found |= *own == alias;
                *own != alias
            });
        }
        if !found {
            return Err(ActionError::new(
                ErrorKind::NotFound,
                format!("No such container: {name}/{alias}"),
            ));
        }
        Ok(())
    });
    changed.await.map_err(|error| about(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

//! `POST /containers/{name}/attach`: standard streams of a container over the connection.

use actions::instance::View;
use actions::stream;
use axum::extract::Request;
use axum::response::Response;
use model::instance::Phase;
use model::stream::LogOptions;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::stream::{DetachKeys, Ended, RAW, Session, content_type, frame};

pub(crate) async fn attach(
    at: At,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let keys = DetachKeys::parse(at.form.get("detachKeys"))?;
    let view = find(&at, &name)?;
    if view.status.phase == Phase::Paused {
        return Err(ApiError::conflict(format!(
            "container {name} is paused, unpause the container before attach"
        )));
    }
    if view.is_restarting() {
        return Err(ApiError::conflict(format!(
            "container {name} is restarting, wait until the container is running"
        )));
    }
    let (parts, _) = request.into_parts();
    let (id, tty, open_stdin, stdin_once) = terminal_of(&view);
    let wanted = |stream| at.form.is_true(stream);
    let (stdin, stdout, stderr) = (wanted("stdin"), wanted("stdout"), wanted("stderr"));
    let logs = if wanted("logs") {
        let options = LogOptions {
            stdout,
            stderr,
            ..LogOptions::default()
        };
        Some(
            stream::logs(&at.cloud, &at.caller, id, &options)
                .await
                .map_err(|error| about(id, error))?,
        )
    } else {
        None
    };
    // Before the answer, so that nothing is missed of a container that starts right after it.
    let (output, input) = if wanted("stream") {
        stream::attach(
            &at.cloud,
            &at.caller,
            id,
            stdin && open_stdin,
            stdout || stderr,
        )
        .await
        .map_err(|error| about(id, error))?
    } else {
        (mpsc::channel(1).1, None)
    };
    let session = Session {
        output,
        input,
        stdout,
        stderr,
        tty,
        detach_keys: tty.then_some(keys),
        close_input: stdin_once && !tty,
    };
    let content_type = if parts.headers.contains_key(http::header::UPGRADE) {
        content_type(tty, at.version)
    } else {
        RAW
    };
    edge::hijack::hijack(
        &parts,
        "tcp",
        content_type,
        move |mut connection| async move {
            if let Some(mut logs) = logs {
                while let Some(Ok(lines)) = logs.recv().await {
                    for line in lines {
                        let bytes = if tty {
                            line.bytes.into()
                        } else {
                            frame(line.stream, &line.bytes)
                        };
                        if connection.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                }
            }
            if session.run(connection).await == Ended::Detached {
                stream::detached(&at.cloud, &at.caller, id);
            }
        },
    )
    .map_err(|error| ApiError::invalid(format!("error attaching to container {name}: {error}")))
}

/// Identity, whether it has a terminal, and what becomes of its input.
fn terminal_of(view: &View) -> (model::Id, bool, bool, bool) {
    let container = view.instance.spec.containers.first();
    let has = |field: fn(&model::container::ContainerSpec) -> bool| container.is_some_and(field);
    (
        view.instance.meta.id,
        has(|container| container.tty),
        has(|container| container.open_stdin),
        has(|container| container.stdin_once),
    )
}

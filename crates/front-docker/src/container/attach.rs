//! `POST /containers/{name}/attach` and `GET .../attach/ws`: standard streams of a container over
//! the connection, as they are or as a WebSocket.

use actions::instance::View;
use actions::stream::{self, LogLines};
use axum::extract::Request;
use axum::response::Response;
use model::Id;
use model::container::ContainerSpec;
use model::instance::Phase;
use model::stream::LogOptions;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::stream::{DetachKeys, Ended, RAW, Session, content_type, first_bytes_at, frame};

pub(crate) async fn attach(
    at: At,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let wanted = |stream| at.form.is_true(stream);
    let streams = Streams {
        stdin: wanted("stdin"),
        stdout: wanted("stdout"),
        stderr: wanted("stderr"),
    };
    let (mut attachment, tty) = Attachment::begin(&at, &name, streams, true).await?;
    let (parts, _) = request.into_parts();
    attachment.session.first_bytes_at = first_bytes_at(&parts.headers);
    let content_type = if parts.headers.contains_key(http::header::UPGRADE) {
        content_type(tty, at.version)
    } else {
        RAW
    };
    let session = move |connection| attachment.run(at, connection);
    edge::hijack::hijack(&parts, "tcp", content_type, session)
        .map_err(|error| ApiError::invalid(format!("error attaching to container {name}: {error}")))
}

/// The same over a WebSocket, without heads: both outputs in one.
///
/// Source: moby, `container_routes.go`, `wsContainersAttach`.
pub(crate) async fn attach_websocket(
    at: At,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    // Before version 1.42 all streams were attached, whatever was asked for.
    let wanted = |stream| !at.version.has(42) || at.form.is_true(stream);
    let streams = Streams {
        stdin: wanted("stdin"),
        stdout: wanted("stdout"),
        stderr: wanted("stderr"),
    };
    let (attachment, _) = Attachment::begin(&at, &name, streams, false).await?;
    let (parts, _) = request.into_parts();
    let session = move |connection| attachment.run(at, connection);
    edge::websocket::upgrade(&parts, session)
        .map_err(|error| ApiError::invalid(format!("error attaching to container {name}: {error}")))
}

/// The streams that a client wants.
#[derive(Clone, Copy)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// Streams of a container, attached before the answer to the client, so that nothing is missed of
/// a container that starts right after it.
struct Attachment {
    id: Id,
    logs: Option<LogLines>,
    session: Session,
}

impl Attachment {
    /// Attaches, and tells whether the container has a terminal. Without one, chunks are `framed`.
    async fn begin(
        at: &At,
        name: &str,
        streams: Streams,
        framed: bool,
    ) -> Result<(Self, bool), ApiError> {
        let keys = DetachKeys::parse(at.form.get("detachKeys"))?;
        let view = find(at, name)?;
        check_state(&view, name)?;
        let id = view.instance.meta.id;
        let container = view.instance.spec.containers.first();
        let has = |field: fn(&ContainerSpec) -> bool| container.is_some_and(field);
        let tty = has(|container| container.tty);
        let Streams {
            stdin,
            stdout,
            stderr,
        } = streams;
        let logs = if at.form.is_true("logs") {
            let options = LogOptions {
                stdout,
                stderr,
                ..LogOptions::default()
            };
            let logs = stream::logs(&at.cloud, &at.caller, id, &options).await;
            Some(logs.map_err(|error| about(id, error))?)
        } else {
            None
        };
        let (output, input) = if at.form.is_true("stream") {
            // The output is followed even where it is not wanted: its end is the attachment's.
            stream::attach(&at.cloud, &at.caller, id, stdin, true)
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
            framed: framed && !tty,
            first_bytes_at: None,
            detach_keys: tty.then_some(keys),
            close_input: has(|container| container.stdin_once) && !tty,
        };
        Ok((Self { id, logs, session }, tty))
    }

    /// Writes the log, where it was wanted, and then carries the streams to their end.
    async fn run(self, at: At, mut connection: impl AsyncRead + AsyncWrite + Unpin) {
        if let Some(mut logs) = self.logs {
            if let Some(at) = self.session.first_bytes_at {
                tokio::time::sleep_until(at).await;
            }
            while let Some(Ok(lines)) = logs.recv().await {
                for line in lines {
                    let bytes = if self.session.framed {
                        frame(line.stream, &line.bytes)
                    } else {
                        line.bytes.into()
                    };
                    if connection.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        }
        if self.session.run(connection).await == Ended::Detached {
            stream::detached(&at.cloud, &at.caller, self.id);
        }
    }
}

fn check_state(view: &View, name: &str) -> Result<(), ApiError> {
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
    Ok(())
}

//! Building as docker's clients 18.09 to 20.10 do it without a plugin: `POST /build` with a session, whose
//! answer tells what [`super::control`] tells by `Status`.
//!
//! Source: moby v20.10, `api/server/router/build`; docker CLI v20.10, `cli/command/image/build_buildkit.go`.

use actions::build::Context;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use bytes::Bytes;
use http::StatusCode;
use model::Id;
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::error::status_error;
use super::job::Open;
use super::request::{Export, Packed, Wanted};
use super::run;
use crate::build::remote;
use crate::container::json_lines;
use crate::error::ApiError;
use crate::front::At;

/// Where files of the client are: the session shows them.
const SESSION: &str = "client-session";

/// They come as an archive, by a request of its own, which names the build after a prefix.
const UPLOAD: &str = "upload-request";
const UPLOAD_OF: &str = "upload-request:";

/// Lines that wait for a slow client.
const WAITING_LINES: usize = 256;

/// Builds an image; the answer is lines of JSON. Or takes an archive for another request that does.
pub(crate) async fn build(at: At, request: Request) -> Result<Response, ApiError> {
    if let Some(name) = at.form.get("buildid").strip_prefix(UPLOAD_OF) {
        at.connections.uploads.offer(name, archive(request)).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let mut wanted = Wanted::of_form(&at)?;
    match at.form.get("remote") {
        SESSION => {}
        UPLOAD => {
            let archive = at.connections.uploads.take(at.form.get("buildid")).await;
            let archive = archive.map_err(|status| status_error(&status))?;
            wanted.archive = Some(Packed::Here(archive));
        }
        // With the request, as in the classic protocol.
        "" => wanted.archive = Some(Packed::Here(archive(request))),
        address => {
            let remote = remote(address, &wanted.new.request)?;
            wanted.archive = Some(Packed::Remote(remote));
        }
    }
    let session = at.form.get("session");
    let name = at.form.non_empty("buildid");
    let name = name.or_else(|| at.form.non_empty("session"));
    let name = name.map_or_else(|| Id::random().simple(), str::to_owned);
    let export = Export::under(&wanted.new.names).map_err(|status| status_error(&status))?;
    let open = at.connections.jobs.open(&name, session, export, Vec::new());
    let open = open.map_err(|status| status_error(&status))?;
    let statuses = open.job.listen().map_err(|status| status_error(&status))?;
    let quiet = at.form.is_true("q");
    let (sender, body) = edge::body::channel(WAITING_LINES);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = answer(&at, open, wanted, statuses, sender, quiet) => {}
            // A client that leaves ends the build.
            () = gone.closed() => {}
        }
    });
    Ok(json_lines(body))
}

fn archive(request: Request) -> Context {
    Box::new(edge::body::reader(request.into_body()))
}

async fn answer(
    at: &At,
    open: Open,
    wanted: Wanted,
    mut statuses: mpsc::Receiver<StatusResponse>,
    lines: mpsc::Sender<Bytes>,
    quiet: bool,
) {
    let send = async |line: Value| {
        let line = Bytes::from(format!("{line}\r\n"));
        if lines.send(line).await.is_err() {
            tracing::debug!("a client left its build");
        }
    };
    let building = async {
        let built = run::run(at, &open.job, wanted).await;
        open.job.fall_silent().await;
        built
    };
    let telling = async {
        while let Some(status) = statuses.recv().await {
            if !quiet {
                let trace = STANDARD.encode(status.encode_to_vec());
                send(json!({ "id": "moby.buildkit.trace", "aux": trace })).await;
            }
        }
    };
    match tokio::join!(building, telling).0 {
        Ok(id) if quiet => send(json!({ "stream": format!("{id}\n") })).await,
        Ok(id) => send(json!({ "id": "moby.image.id", "aux": { "ID": id } })).await,
        Err(status) => {
            let message = status.message();
            send(json!({ "errorDetail": { "message": message }, "error": message })).await;
        }
    }
}

/// Ends a build that was begun so.
pub(super) async fn cancel(at: At) -> Result<StatusCode, ApiError> {
    let name = at.form.get("id");
    if at.connections.jobs.cancel(name) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found(format!("no such build: {name}")))
}

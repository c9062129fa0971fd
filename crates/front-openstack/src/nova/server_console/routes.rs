//! Paths of consoles.

use actions::server::console;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::Id;
use serde_json::{Value, json};

use super::terminal;
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, not_of};
use crate::nova::list::since;
use crate::nova::server::routes::path_id;
use crate::route::Route;

/// The path of the terminal, without a token no use.
const TERMINAL: &str = "/serial";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "/v2.1/servers/{id}/remote-consoles",
            "createRemoteConsole",
            post(remote),
        ),
        Route::new(
            "/v2.1/os-console-auth-tokens/{token}",
            "showConsoleAuthToken",
            get(token),
        ),
        Route::open(TERMINAL, "openSerialConsole", get(terminal::open)),
    ]
}

/// What a server wrote to its console: `{"length": lines}`.
pub(in crate::nova) async fn output(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    let length = match body {
        Value::Null => None,
        body => {
            let mut fields = Fields::object_of(body, "os-getConsoleOutput")?;
            let length = match fields.take("length") {
                // -1 is all of it, too.
                None | Some(Value::Null) => None,
                Some(length) => Some(lines(&length)?).filter(|lines| *lines >= 0),
            };
            fields.done()?;
            length
        }
    };
    let length = length.and_then(|lines| u64::try_from(lines).ok());
    let output = console::output(&at.cloud, &at.caller, id, length).await?;
    Ok(Json(json!({ "output": output })).into_response())
}

fn lines(length: &Value) -> Result<i64, ApiError> {
    let number = match length {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|lines| *lines >= -1)
        .ok_or_else(|| not_of("length", length, &["integer", "string", "null"]))
}

/// Where a terminal is that a token opens.
fn address(at: &At, id: Id) -> Result<String, ApiError> {
    let token = console::grant(&at.cloud, &at.caller, id)?;
    let host = at.settings.url.replacen("http", "ws", 1);
    Ok(format!("{host}/compute{TERMINAL}?token={token}"))
}

/// The console of clients before microversion 2.6: `{"type": "serial"}`.
pub(in crate::nova) async fn serial(at: At, id: Id, body: Value) -> Result<Response, ApiError> {
    let mut fields = Fields::object_of(body, "os-getSerialConsole")?;
    let kind = fields.one_of("type", &["serial"])?;
    let kind = fields.required("type", kind)?;
    fields.done()?;
    let url = address(&at, id)?;
    Ok(Json(json!({ "console": { "type": kind, "url": url } })).into_response())
}

async fn remote(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    since(&at, 6)?;
    let id = path_id(&id)?;
    let mut fields = Fields::of(body.0, "remote_console")?;
    let protocols = ["vnc", "spice", "rdp", "serial", "mks"];
    let protocol = fields.one_of("protocol", &protocols)?;
    let protocol = fields.required("protocol", protocol)?;
    let kinds = [
        "novnc",
        "xvpvnc",
        "spice-html5",
        "rdp-html5",
        "serial",
        "webmks",
    ];
    let kind = fields.one_of("type", &kinds)?;
    let kind = fields.required("type", kind)?;
    fields.done()?;
    if (protocol.as_str(), kind.as_str()) != ("serial", "serial") {
        return Err(ApiError::invalid(format!(
            "Unavailable console type {kind}."
        )));
    }
    let url = address(&at, id)?;
    let answer = json!({ "protocol": protocol, "type": kind, "url": url });
    Ok(Json(json!({ "remote_console": answer })).into_response())
}

/// What a token opens, for operators.
async fn token(at: At, Path(token): Path<String>) -> Result<Response, ApiError> {
    at.caller.may(
        actions::policy::Action::ShowConsoleToken,
        &actions::policy::Target::SYSTEM,
    )?;
    let (id, _) = console::granted(&at.cloud, &token)
        .ok_or_else(|| ApiError::not_found("Token not found"))?;
    let answer = json!({ "instance_uuid": id.to_string(), "host": null, "port": null });
    Ok(Json(json!({ "console": answer })).into_response())
}

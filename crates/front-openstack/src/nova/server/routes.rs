//! Paths of servers.

use actions::server;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use model::Id;
use serde_json::json;

use super::translate::{self, Showing, Whole};
use super::{create, list};
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::route::Route;

/// The paths of servers; the second is from when those with volumes were made at one of their own.
const PATHS: [[&str; 3]; 2] = [
    [
        "/v2.1/servers",
        "/v2.1/servers/detail",
        "/v2.1/servers/{id}",
    ],
    [
        "/v2.1/os-volumes_boot",
        "/v2.1/os-volumes_boot/detail",
        "/v2.1/os-volumes_boot/{id}",
    ],
];

pub(crate) fn routes() -> Vec<Route> {
    let of = |[all, detailed, one]: [&'static str; 3]| {
        [
            Route::new(all, "listServers", get(index)),
            Route::new(all, "createServer", post(make)),
            Route::new(detailed, "listServersDetailed", get(detail)),
            Route::new(one, "showServer", get(show)),
            Route::new(one, "updateServer", put(update)),
            Route::new(one, "deleteServer", delete(remove)),
        ]
    };
    PATHS.into_iter().flat_map(of).collect()
}

/// The identity of a server in a path; what cannot be one is nobody's.
pub(in crate::nova) fn path_id(text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("Instance {text} could not be found.")))
}

/// Where a server is.
pub(in crate::nova) fn href(at: &At, id: Id) -> String {
    format!("{}/compute/v2.1/servers/{id}", at.settings.url)
}

async fn index(at: At) -> Result<Response, ApiError> {
    list::page(&at, "servers", translate::brief)
}

async fn detail(at: At) -> Result<Response, ApiError> {
    let showing = Showing::new(&at);
    list::page(&at, "servers/detail", |_, view| {
        showing.server(view, Whole::InList)
    })
}

async fn make(at: At, body: Body) -> Result<Response, ApiError> {
    let wanted = create::wanted(&at, body.0)?;
    let made = server::create(&at.cloud, &at.caller, wanted.new).await?;
    let Some(first) = made.first() else {
        return Err(ApiError::invalid("min_count must be at least 1"));
    };
    if wanted.by_reservation {
        let answer = json!({ "reservation_id": first.spec.reservation });
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    let id = first.meta.id;
    let disk = if first.spec.auto_disk {
        "AUTO"
    } else {
        "MANUAL"
    };
    let answer = json!({
        "server": {
            "id": id.to_string(),
            "links": translate::links(&at, id),
            "OS-DCF:diskConfig": disk,
            "security_groups": wanted.security_groups,
            "adminPass": wanted.password,
        }
    });
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    set_location(&mut response, &href(&at, id));
    Ok(response)
}

/// Says in an answer where the thing is.
pub(in crate::nova) fn set_location(response: &mut Response, href: &str) {
    if let Ok(value) = HeaderValue::from_str(href) {
        response.headers_mut().insert(LOCATION, value);
    }
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = server::settled(&at.cloud, &at.caller, path_id(&id)?).await?;
    let shown = Showing::new(&at).server(&view, Whole::Alone);
    Ok(Json(json!({ "server": shown })).into_response())
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(&id)?;
    let change = create::change(&at, body.0)?;
    let view = server::update(&at.cloud, &at.caller, id, change).await?;
    let whole = if at.minor >= 75 {
        Whole::Alone
    } else {
        Whole::Changed
    };
    let shown = Showing::new(&at).server(&view, whole);
    Ok(Json(json!({ "server": shown })).into_response())
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    server::remove(&at.cloud, &at.caller, path_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

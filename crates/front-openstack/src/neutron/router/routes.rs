//! Paths of routers.

use actions::router;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;

use super::translate;
use crate::front::At;
use crate::neutron::Body;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "router",
    many: "routers",
    path: "routers",
    kind: "Router",
    attributes: &["admin_state_up"],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/routers", "listRouters", get(list)),
        Route::new("/v2.0/routers", "createRouter", post(create)),
        Route::new("/v2.0/routers/{id}", "showRouter", get(show)),
        Route::new("/v2.0/routers/{id}", "updateRouter", put(update)),
        Route::new("/v2.0/routers/{id}", "deleteRouter", delete(remove)),
        Route::new(
            "/v2.0/routers/{id}/add_router_interface",
            "addRouterInterface",
            put(add_interface),
        ),
        Route::new(
            "/v2.0/routers/{id}/remove_router_interface",
            "removeRouterInterface",
            put(remove_interface),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = router::list(&at.cloud, &at.caller);
    let objects = found.iter().map(translate::shown).collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (caller, new) = translate::new(&at, body.0)?;
    let made = router::create(&at.cloud, &caller, new).await?;
    Ok(answer::made(&NOUN, translate::shown(&made)))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = router::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = router::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    router::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add_interface(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (id, leg) = (path_id(NOUN.kind, &id)?, translate::leg(body.0)?);
    let added = router::add_interface(&at.cloud, &at.caller, id, leg).await?;
    Ok(Json(translate::interface(&added)).into_response())
}

async fn remove_interface(
    at: At,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, leg) = (path_id(NOUN.kind, &id)?, translate::leg(body.0)?);
    let removed = router::remove_interface(&at.cloud, &at.caller, id, leg).await?;
    Ok(Json(translate::interface(&removed)).into_response())
}

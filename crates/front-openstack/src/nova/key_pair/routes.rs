//! Paths of key pairs.

use actions::key_pair;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::Id;
use serde_json::json;

use super::translate::{self, New};
use crate::front::At;
use crate::id;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::list;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/os-keypairs/{name}";
    vec![
        Route::new("/v2.1/os-keypairs", "listKeyPairs", get(list)),
        Route::new("/v2.1/os-keypairs", "createKeyPair", post(create)),
        Route::new(ONE, "showKeyPair", get(show)),
        Route::new(ONE, "deleteKeyPair", delete(remove)),
    ]
}

/// Whose key pairs are meant: the caller's, or from 2.10 on, of who is named.
fn user(at: &At, named: Option<&str>) -> Result<Id, ApiError> {
    match named.filter(|_| at.minor >= 10) {
        None => Ok(at.caller.user),
        Some(text) => id::parse(text)
            .ok_or_else(|| ApiError::not_found(format!("User {text} could not be found."))),
    }
}

async fn list(at: At) -> Result<Response, ApiError> {
    list::check_query(&at, &["user_id", "limit", "marker"])?;
    let user = user(&at, at.query.get("user_id"))?;
    let pairs = key_pair::list(&at.cloud, &at.caller, user)?;
    let (pairs, next) = match at.minor {
        35.. => {
            let page = list::page(&at, "os-keypairs", pairs, |pair| pair.meta.name.clone())?;
            (page.items, page.next)
        }
        _ => (pairs, None),
    };
    let shown: Vec<_> = pairs
        .iter()
        .map(|pair| json!({ "keypair": translate::brief(&at, pair) }))
        .collect();
    let mut body = json!({ "keypairs": shown });
    if let Some(next) = next {
        body["keypairs_links"] = next;
    }
    Ok(Json(body).into_response())
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let New {
        name,
        public_key,
        user: named,
    } = translate::new(&at, body.0)?;
    let user = user(&at, named.as_deref())?;
    let shown = match public_key {
        Some(key) => {
            let made = key_pair::import(&at.cloud, &at.caller, user, name, key).await?;
            translate::created(&at, &made)
        }
        None => {
            let made = key_pair::generate(&at.cloud, &at.caller, user, name).await?;
            let mut shown = translate::created(&at, &made.pair);
            shown["private_key"] = json!(made.private_key);
            shown
        }
    };
    let status = match at.minor {
        2.. => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok((status, Json(json!({ "keypair": shown }))).into_response())
}

async fn show(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    list::check_query(&at, &["user_id"])?;
    let user = user(&at, at.query.get("user_id"))?;
    let found = key_pair::get(&at.cloud, &at.caller, user, &name)?;
    Ok(Json(json!({ "keypair": translate::shown(&at, &found) })).into_response())
}

async fn remove(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    list::check_query(&at, &["user_id"])?;
    let user = user(&at, at.query.get("user_id"))?;
    key_pair::remove(&at.cloud, &at.caller, user, &name).await?;
    Ok(match at.minor {
        2.. => StatusCode::NO_CONTENT,
        _ => StatusCode::ACCEPTED,
    })
}

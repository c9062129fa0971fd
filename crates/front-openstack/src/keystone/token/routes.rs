//! Paths of tokens.

use actions::identity::authenticate::authenticate;
use actions::identity::catalogue::{Entry, catalogue};
use actions::identity::token::{self, Place, Session};
use axum::Json as Answer;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{HeaderValue, StatusCode};

use super::{shown, translate, wire};
use crate::front::{At, Open};
use crate::keystone::Body;
use crate::keystone::error::ApiError;
use crate::query::Query;
use crate::route::Route;

/// The header that carries the token that a request is about, or that was issued.
const SUBJECT: &str = "X-Subject-Token";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("/v3/auth/tokens", "issueToken", post(issue)),
        Route::new("/v3/auth/tokens", "validateToken", get(validate)),
        Route::new("/v3/auth/tokens", "revokeToken", delete(revoke)),
    ]
}

async fn issue(open: Open, body: Body<wire::Request>) -> Result<Response, ApiError> {
    let proof = translate::proof(body.0.auth)?;
    let (sealed, session) = authenticate(&open.cloud, proof).await?;
    let entries = entries(&open.cloud, &open.query, &session);
    let body = Answer(shown::token(&session, entries.as_deref()));
    Ok(with_subject((StatusCode::CREATED, body), &sealed))
}

async fn validate(at: At) -> Result<Response, ApiError> {
    let sealed = subject(&at)?;
    let session = token::validate(&at.cloud, &at.caller, sealed)?;
    let entries = entries(&at.cloud, &at.query, &session);
    let body = Answer(shown::token(&session, entries.as_deref()));
    Ok(with_subject(body, sealed))
}

async fn revoke(at: At) -> Result<StatusCode, ApiError> {
    token::revoke(&at.cloud, &at.caller, subject(&at)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token that the request is about.
fn subject(at: &At) -> Result<&str, ApiError> {
    at.headers
        .get(SUBJECT)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| ApiError::not_found("token", "None"))
}

/// The catalogue of a session, unless the client does without.
pub(crate) fn entries(
    cloud: &actions::Cloud,
    query: &Query,
    session: &Session,
) -> Option<Vec<Entry>> {
    if query.has("nocatalog") {
        return None;
    }
    let project = match &session.place {
        Place::Project { project, .. } => Some(project.meta.id),
        Place::Nowhere | Place::Domain(_) | Place::System => None,
    };
    Some(catalogue(cloud, project))
}

pub(crate) fn with_subject(answer: impl IntoResponse, sealed: &str) -> Response {
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(sealed) {
        response.headers_mut().insert(SUBJECT, value);
    }
    response
}

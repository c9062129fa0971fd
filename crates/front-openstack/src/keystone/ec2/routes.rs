//! Paths of key pairs for APIs in the manner of EC2, and of what was signed with them.

use actions::identity::ec2::{self, KeyPair};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::Id;
use model::delegation::Delegation;
use serde_json::{Map, Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::Body;
use crate::keystone::answer;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{missing, parse, wrong};
use crate::keystone::token::routes::{entries, with_subject};
use crate::keystone::token::shown::token;
use crate::route::Route;

/// Of all of a user.
const ALL: &str = "/v3/users/{user_id}/credentials/OS-EC2";
/// Of one, by its access key.
const ONE: &str = "/v3/users/{user_id}/credentials/OS-EC2/{access}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listEc2Credentials", get(list)),
        Route::new(ALL, "createEc2Credential", post(create)),
        Route::new(ONE, "showEc2Credential", get(show)),
        Route::new(ONE, "deleteEc2Credential", delete(remove)),
        Route::new("/v3/ec2tokens", "validateEc2Signature", post(authenticate)),
        Route::new("/v3/s3tokens", "validateS3Signature", post(authenticate_s3)),
    ]
}

/// The path of a user's key pairs after the version.
fn path(user: Id) -> String {
    format!("users/{}/credentials/OS-EC2", id::show(user))
}

fn shown(at: &At, pair: &KeyPair) -> Value {
    let trust = match pair.delegation {
        Some(Delegation::Trust(id)) => Some(id),
        Some(Delegation::ApplicationCredential(_)) | None => None,
    };
    let fields: Map<String, Value> = [
        ("user_id", json!(id::show(pair.user))),
        ("tenant_id", json!(pair.project.map(id::show))),
        ("access", json!(pair.access)),
        ("secret", json!(pair.secret)),
        ("trust_id", json!(trust.map(id::show))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    answer::linked(at, &path(pair.user), &pair.access, fields)
}

async fn list(at: At, Path(user): Path<String>) -> Result<Response, ApiError> {
    let user = parse("user", &user)?;
    let found = ec2::list(&at.cloud, &at.caller, user)?;
    let all = found.iter().map(|pair| shown(&at, pair)).collect();
    answer::list(&at, &path(user), "credentials", all)
}

async fn create(at: At, Path(user): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let user = parse("user", &user)?;
    let project = match body.0.get("tenant_id") {
        None | Some(Value::Null) => return Err(missing("tenant_id")),
        Some(Value::String(text)) => parse("project", text)?,
        Some(other) => return Err(wrong("tenant_id", other, "string")),
    };
    let made = ec2::create(&at.cloud, &at.caller, &at.session, user, project).await?;
    Ok(answer::made("credential", shown(&at, &made)))
}

async fn show(at: At, Path((user, access)): Path<(String, String)>) -> Result<Response, ApiError> {
    let found = ec2::get(&at.cloud, &at.caller, parse("user", &user)?, &access)?;
    Ok(answer::one("credential", shown(&at, &found)))
}

async fn remove(
    at: At,
    Path((user, access)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    ec2::delete(&at.cloud, &at.caller, parse("user", &user)?, &access).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever signed a request gets a token, by whoever it was sent to.
async fn authenticate(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let signed = translate::signed(body.0)?;
    let (sealed, session) = ec2::authenticate(&at.cloud, &at.caller, &signed).await?;
    let entries = entries(&at.cloud, &at.query, &session);
    let body = axum::Json(token(&session, entries.as_deref()));
    Ok(with_subject(body, &sealed))
}

/// Whoever signed a request to an object store is told to it, without a token.
async fn authenticate_s3(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let signed = translate::signed_text(body.0)?;
    let session = ec2::authenticate_s3(&at.cloud, &at.caller, &signed).await?;
    let entries = entries(&at.cloud, &at.query, &session);
    Ok(axum::Json(token(&session, entries.as_deref())).into_response())
}

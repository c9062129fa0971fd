//! Paths of credentials.

use actions::identity::credential;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use http::StatusCode;
use serde_json::Value;

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::Body;
use crate::keystone::answer;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/credentials", "listCredentials", get(list)),
        Route::new("/v3/credentials", "createCredential", post(create)),
        Route::new(
            "/v3/credentials/{credential_id}",
            "showCredential",
            get(show),
        ),
        Route::new(
            "/v3/credentials/{credential_id}",
            "updateCredential",
            patch(update),
        ),
        Route::new(
            "/v3/credentials/{credential_id}",
            "deleteCredential",
            delete(remove),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let user = at.query.get("user_id").map(id::parse);
    let kind = at.query.get("type");
    let found = credential::list(&at.cloud, &at.caller, |known| {
        user.is_none_or(|user| user == Some(known.spec.user))
            && kind.is_none_or(|kind| kind == known.spec.kind)
    });
    let shown = found.iter().map(|known| translate::credential(&at, known));
    answer::list(&at, "credentials", "credentials", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let changes = translate::changes(Fields::of(body.0, "credential")?)?;
    let made = credential::create(&at.cloud, &at.caller, changes).await?;
    Ok(answer::made(
        "credential",
        translate::credential(&at, &made),
    ))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = credential::get(&at.cloud, &at.caller, parse("credential", &text)?)?;
    Ok(answer::one(
        "credential",
        translate::credential(&at, &found),
    ))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "credential")?;
    fields.same_id(&text)?;
    let changes = translate::changes(fields)?;
    let id = parse("credential", &text)?;
    let changed = credential::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one(
        "credential",
        translate::credential(&at, &changed),
    ))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    credential::delete(&at.cloud, &at.caller, parse("credential", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Paths of roles.

use actions::identity::role;
use axum::Json as Answer;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use http::StatusCode;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::keystone::Body;
use crate::keystone::answer::{self, fits};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/roles", "listRoles", get(list)),
        Route::new("/v3/roles", "createRole", post(create)),
        Route::new("/v3/roles/{role_id}", "showRole", get(show)),
        Route::new("/v3/roles/{role_id}", "updateRole", patch(update)),
        Route::new("/v3/roles/{role_id}", "deleteRole", delete(remove)),
        Route::new(
            "/v3/roles/{role_id}/implies",
            "listImpliedRoles",
            get(list_implied),
        ),
        Route::new(
            "/v3/roles/{role_id}/implies/{implied_id}",
            "showImpliedRole",
            get(show_implied).head(has_implied),
        ),
        Route::new(
            "/v3/roles/{role_id}/implies/{implied_id}",
            "createImpliedRole",
            put(imply),
        ),
        Route::new(
            "/v3/roles/{role_id}/implies/{implied_id}",
            "deleteImpliedRole",
            delete(imply_no_more),
        ),
        Route::new(
            "/v3/role_inferences",
            "listRoleInferences",
            get(list_implications),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let domain = at
        .query
        .get("domain_id")
        .map(|text| parse("domain", text))
        .transpose()?;
    let found = role::list(&at.cloud, &at.caller, domain, |role| {
        fits(&at, "name", &role.meta.name)
    })?;
    let shown = found.iter().map(|role| translate::role(&at, role));
    answer::list(&at, "roles", "roles", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "role")?;
    let domain = fields.id("domain_id", "domain")?.flatten();
    let changes = translate::changes(fields)?;
    let made = role::create(&at.cloud, &at.caller, domain, changes).await?;
    Ok(answer::made("role", translate::role(&at, &made)))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = role::get(&at.cloud, &at.caller, parse("role", &text)?)?;
    Ok(answer::one("role", translate::role(&at, &found)))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "role")?;
    fields.same_id(&text)?;
    if fields.take("domain_id").is_some() {
        return Err(ApiError::invalid("Update of `domain_id` is not allowed."));
    }
    let changes = translate::changes(fields)?;
    let changed = role::update(&at.cloud, &at.caller, parse("role", &text)?, changes).await?;
    Ok(answer::one("role", translate::role(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    role::delete(&at.cloud, &at.caller, parse("role", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The two roles of a path.
fn both(prior: &str, implied: &str) -> Result<(model::Id, model::Id), ApiError> {
    Ok((parse("role", prior)?, parse("role", implied)?))
}

async fn list_implied(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let (prior, implied) = role::implied(&at.cloud, &at.caller, parse("role", &text)?)?;
    let own = format!("{}/roles/{text}/implies", answer::root(&at));
    let rule = translate::implications(&at, &prior, &implied);
    Ok(Answer(json!({ "role_inference": rule, "links": { "self": own } })).into_response())
}

async fn show_implied(
    at: At,
    Path((prior, implied)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (first, second) = both(&prior, &implied)?;
    let (first, second) = role::implication(&at.cloud, &at.caller, first, second)?;
    Ok(rule(&at, &first, &second, StatusCode::OK))
}

async fn has_implied(
    at: At,
    Path((prior, implied)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (prior, implied) = both(&prior, &implied)?;
    role::implication(&at.cloud, &at.caller, prior, implied)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn imply(
    at: At,
    Path((prior, implied)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (first, second) = both(&prior, &implied)?;
    let (first, second) = role::imply(&at.cloud, &at.caller, first, second).await?;
    Ok(rule(&at, &first, &second, StatusCode::CREATED))
}

fn rule(
    at: &At,
    prior: &model::role::Role,
    implied: &model::role::Role,
    status: StatusCode,
) -> Response {
    let shown = translate::implication(at, prior, implied);
    let own = format!(
        "{}/roles/{}/implies/{}",
        answer::root(at),
        crate::id::show(prior.meta.id),
        crate::id::show(implied.meta.id)
    );
    let body = json!({ "role_inference": shown, "links": { "self": own } });
    (status, Answer(body)).into_response()
}

async fn imply_no_more(
    at: At,
    Path((prior, implied)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (prior, implied) = both(&prior, &implied)?;
    role::imply_no_more(&at.cloud, &at.caller, prior, implied).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_implications(at: At) -> Result<Response, ApiError> {
    let rules: Vec<Value> = role::implications(&at.cloud, &at.caller)?
        .iter()
        .map(|(prior, implied)| translate::implications(&at, prior, implied))
        .collect();
    let own = format!("{}/role_inferences", answer::root(&at));
    let body = json!({ "role_inferences": rules, "links": { "self": own } });
    Ok(Answer(body).into_response())
}

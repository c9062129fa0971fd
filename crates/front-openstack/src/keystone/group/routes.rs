//! Paths of groups.

use actions::identity::group;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use http::StatusCode;
use serde_json::Value;

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::answer::{self, fits, fits_switch};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::keystone::{Body, user as users};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/groups", "listGroups", get(list)),
        Route::new("/v3/groups", "createGroup", post(create)),
        Route::new("/v3/groups/{group_id}", "showGroup", get(show)),
        Route::new("/v3/groups/{group_id}", "updateGroup", patch(update)),
        Route::new("/v3/groups/{group_id}", "deleteGroup", delete(remove)),
        Route::new(
            "/v3/groups/{group_id}/users",
            "listUsersInGroup",
            get(list_users),
        ),
        Route::new(
            "/v3/groups/{group_id}/users/{user_id}",
            "checkUserInGroup",
            get(check),
        ),
        Route::new(
            "/v3/groups/{group_id}/users/{user_id}",
            "addUserToGroup",
            put(add),
        ),
        Route::new(
            "/v3/groups/{group_id}/users/{user_id}",
            "removeUserFromGroup",
            delete(remove_user),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let domain = at.query.get("domain_id").map(id::parse);
    let found = group::list(&at.cloud, &at.caller, |group| {
        domain.is_none_or(|domain| domain == Some(group.meta.project.0))
            && fits(&at, "name", &group.meta.name)
    })?;
    let shown = found.iter().map(|group| translate::group(&at, group));
    answer::list(&at, "groups", "groups", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "group")?;
    let domain = fields.id("domain_id", "domain")?.flatten();
    let changes = translate::changes(fields)?;
    let made = group::create(&at.cloud, &at.caller, domain, changes).await?;
    Ok(answer::made("group", translate::group(&at, &made)))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = group::get(&at.cloud, &at.caller, parse("group", &text)?)?;
    Ok(answer::one("group", translate::group(&at, &found)))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let id = parse("group", &text)?;
    let mut fields = Fields::of(body.0, "group")?;
    fields.same_id(&text)?;
    if let Some(domain) = fields.id("domain_id", "domain")?
        && domain != Some(group::get(&at.cloud, &at.caller, id)?.meta.project.0)
    {
        return Err(ApiError::invalid("Cannot change Domain ID"));
    }
    let changes = translate::changes(fields)?;
    let changed = group::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("group", translate::group(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    group::delete(&at.cloud, &at.caller, parse("group", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_users(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = group::users(&at.cloud, &at.caller, parse("group", &text)?)?;
    let shown = found
        .iter()
        .filter(|user| {
            fits(&at, "name", &user.meta.name) && fits_switch(&at, "enabled", user.spec.enabled)
        })
        .map(|user| users::translate::user(&at, user));
    answer::list(
        &at,
        &format!("groups/{text}/users"),
        "users",
        shown.collect(),
    )
}

/// The group and the user of a path.
fn both(group: &str, user: &str) -> Result<(model::Id, model::Id), ApiError> {
    Ok((parse("group", group)?, parse("user", user)?))
}

async fn check(
    at: At,
    Path((group, user)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (group, user) = both(&group, &user)?;
    group::check(&at.cloud, &at.caller, group, user)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add(at: At, Path((group, user)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (group, user) = both(&group, &user)?;
    group::add(&at.cloud, &at.caller, group, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_user(
    at: At,
    Path((group, user)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (group, user) = both(&group, &user)?;
    group::remove(&at.cloud, &at.caller, group, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Paths of users.

use actions::identity::{group, user};
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use http::StatusCode;
use model::project::Project;
use serde_json::Value;

use super::translate;
use crate::front::{At, Open};
use crate::id;
use crate::keystone::answer::{self, fits, fits_switch};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::keystone::{Body, group as groups, project as projects};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/users", "listUsers", get(list)),
        Route::new("/v3/users", "createUser", post(create)),
        Route::new("/v3/users/{user_id}", "showUser", get(show)),
        Route::new("/v3/users/{user_id}", "updateUser", patch(update)),
        Route::new("/v3/users/{user_id}", "deleteUser", delete(remove)),
        Route::open(
            "/v3/users/{user_id}/password",
            "changePassword",
            post(change_password),
        ),
        Route::new(
            "/v3/users/{user_id}/groups",
            "listGroupsOfUser",
            get(list_groups),
        ),
        Route::new(
            "/v3/users/{user_id}/projects",
            "listProjectsOfUser",
            get(list_projects),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let domain = at.query.get("domain_id").map(id::parse);
    let found = user::list(&at.cloud, &at.caller, |user| {
        domain.is_none_or(|domain| domain == Some(user.meta.project.0))
            && fits(&at, "name", &user.meta.name)
            && fits_switch(&at, "enabled", user.spec.enabled)
    })?;
    let shown = found.iter().map(|user| translate::user(&at, user));
    answer::list(&at, "users", "users", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "user")?;
    let domain = fields.id("domain_id", "domain")?.flatten();
    let changes = translate::changes(fields)?;
    let made = user::create(&at.cloud, &at.caller, domain, changes).await?;
    Ok(answer::made("user", translate::user(&at, &made)))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = user::get(&at.cloud, &at.caller, parse("user", &text)?)?;
    Ok(answer::one("user", translate::user(&at, &found)))
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let id = parse("user", &text)?;
    let mut fields = Fields::of(body.0, "user")?;
    fields.same_id(&text)?;
    let own = user::get(&at.cloud, &at.caller, id)?.meta.project.0;
    if let Some(domain) = fields.id("domain_id", "domain")?
        && domain != Some(own)
    {
        return Err(ApiError::invalid("Cannot change Domain ID"));
    }
    let changes = translate::changes(fields)?;
    let changed = user::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("user", translate::user(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    user::delete(&at.cloud, &at.caller, parse("user", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Needs no token: the old password is enough, and a password that has expired gets nobody one.
async fn change_password(
    open: Open,
    Path(text): Path<String>,
    body: Body<Value>,
) -> Result<StatusCode, ApiError> {
    let mut fields = Fields::of(body.0, "user")?;
    let old = fields.required("original_password")?;
    let new = fields.required("password")?;
    user::change_password(&open.cloud, parse("user", &text)?, &old, &new).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_groups(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = group::of_user(&at.cloud, &at.caller, parse("user", &text)?)?;
    let shown = found
        .iter()
        .filter(|group| fits(&at, "name", &group.meta.name))
        .map(|group| groups::translate::group(&at, group));
    answer::list(
        &at,
        &format!("users/{text}/groups"),
        "groups",
        shown.collect(),
    )
}

async fn list_projects(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = user::projects(&at.cloud, &at.caller, parse("user", &text)?)?;
    let wanted = |project: &Project| {
        fits(&at, "name", &project.meta.name) && fits_switch(&at, "enabled", project.spec.enabled)
    };
    let shown = found
        .iter()
        .filter(|project| wanted(project))
        .map(|project| projects::translate::project(&at, project));
    answer::list(
        &at,
        &format!("users/{text}/projects"),
        "projects",
        shown.collect(),
    )
}

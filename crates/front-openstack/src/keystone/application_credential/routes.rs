//! Paths of application credentials and access rules.

use actions::identity::application_credential;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::keystone::Body;
use crate::keystone::answer::{self, fits};
use crate::keystone::error::ApiError;
use crate::keystone::fields::parse;
use crate::route::Route;

const ALL: &str = "/v3/users/{user_id}/application_credentials";
const ONE: &str = "/v3/users/{user_id}/application_credentials/{application_credential_id}";
const RULES: &str = "/v3/users/{user_id}/access_rules";
const RULE: &str = "/v3/users/{user_id}/access_rules/{access_rule_id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listApplicationCredentials", get(list)),
        Route::new(ALL, "createApplicationCredential", post(create)),
        Route::new(ONE, "showApplicationCredential", get(show)),
        Route::new(ONE, "deleteApplicationCredential", delete(remove)),
        Route::new(RULES, "listAccessRules", get(list_rules)),
        Route::new(RULE, "showAccessRule", get(show_rule)),
        Route::new(RULE, "deleteAccessRule", delete(remove_rule)),
    ]
}

async fn list(at: At, Path(user): Path<String>) -> Result<Response, ApiError> {
    let found = application_credential::list(&at.cloud, &at.caller, parse("user", &user)?)?;
    let shown = found
        .iter()
        .filter(|known| fits(&at, "name", &known.meta.name))
        .map(|known| translate::linked_credential(&at, translate::credential(&at, known)));
    let path = format!("users/{user}/application_credentials");
    answer::list(&at, &path, "application_credentials", shown.collect())
}

async fn create(at: At, Path(user): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let user = parse("user", &user)?;
    let new = translate::new(body.0)?;
    let (made, secret) =
        application_credential::create(&at.cloud, &at.caller, &at.session, user, new).await?;
    let mut shown = translate::credential(&at, &made);
    shown.insert("secret".to_owned(), json!(secret));
    let shown = translate::linked_credential(&at, shown);
    Ok(answer::made("application_credential", shown))
}

async fn show(at: At, Path((user, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let (user, id) = (parse("user", &user)?, parse("application credential", &id)?);
    let found = application_credential::get(&at.cloud, &at.caller, user, id)?;
    let shown = translate::linked_credential(&at, translate::credential(&at, &found));
    Ok(answer::one("application_credential", shown))
}

async fn remove(at: At, Path((user, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let (user, id) = (parse("user", &user)?, parse("application credential", &id)?);
    application_credential::delete(&at.cloud, &at.caller, &at.session, user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_rules(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = application_credential::list_rules(&at.cloud, &at.caller, parse("user", &text)?)?;
    let shown = found
        .iter()
        .filter(|rule| {
            fits(&at, "service", &rule.spec.service)
                && fits(&at, "method", &rule.spec.method)
                && fits(&at, "path", &rule.spec.path)
        })
        .map(|rule| translate::rule(&at, &text, rule));
    let path = format!("users/{text}/access_rules");
    answer::list(&at, &path, "access_rules", shown.collect())
}

async fn show_rule(at: At, Path((text, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let (user, id) = (parse("user", &text)?, parse("access rule", &id)?);
    let found = application_credential::get_rule(&at.cloud, &at.caller, user, id)?;
    Ok(answer::one(
        "access_rule",
        translate::rule(&at, &text, &found),
    ))
}

async fn remove_rule(
    at: At,
    Path((text, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (user, id) = (parse("user", &text)?, parse("access rule", &id)?);
    application_credential::delete_rule(&at.cloud, &at.caller, user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

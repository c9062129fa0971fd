//! Paths of trusts and of the roles that they give.

use actions::identity::trust::{self, Filter};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::keystone::Body;
use crate::keystone::answer;
use crate::keystone::error::ApiError;
use crate::keystone::fields::parse;
use crate::keystone::role::translate::role;
use crate::route::Route;

const ALL: &str = "/v3/OS-TRUST/trusts";
/// QUIRK(tempest 47): lists them so.
const ALL_WITH_SLASH: &str = "/v3/OS-TRUST/trusts/";
const ONE: &str = "/v3/OS-TRUST/trusts/{trust_id}";
const ROLES: &str = "/v3/OS-TRUST/trusts/{trust_id}/roles";
const ROLE: &str = "/v3/OS-TRUST/trusts/{trust_id}/roles/{role_id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listTrusts", get(list)),
        Route::new(ALL_WITH_SLASH, "listTrusts", get(list)),
        Route::new(ALL, "createTrust", post(create)),
        Route::new(ONE, "showTrust", get(show)),
        Route::new(ONE, "deleteTrust", delete(remove)),
        Route::new(ROLES, "listTrustRoles", get(list_roles)),
        Route::new(ROLE, "showTrustRole", get(show_role)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let user = |name| {
        let text = at.query.get(name);
        text.map(|text| parse("user", text)).transpose()
    };
    let filter = Filter {
        trustor: user("trustor_user_id")?,
        trustee: user("trustee_user_id")?,
    };
    let found = trust::list(&at.cloud, &at.caller, filter)?;
    let shown = found.iter().map(|trust| translate::short(&at, trust));
    answer::list(&at, translate::PATH, "trusts", shown.collect())
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let new = translate::new(body.0)?;
    let made = trust::create(&at.cloud, &at.caller, new).await?;
    Ok(answer::made("trust", translate::trust(&at, &made)))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = trust::get(&at.cloud, &at.caller, parse("trust", &id)?)?;
    Ok(answer::one("trust", translate::trust(&at, &found)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    trust::delete(&at.cloud, &at.caller, parse("trust", &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_roles(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = trust::get(&at.cloud, &at.caller, parse("trust", &id)?)?;
    let body = json!({
        "roles": translate::roles(&at, &found),
        "links": translate::roles_links(&at, &found),
    });
    Ok(axum::Json(body).into_response())
}

async fn show_role(
    at: At,
    Path((id, wanted)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (id, wanted) = (parse("trust", &id)?, parse("role", &wanted)?);
    let found = trust::role(&at.cloud, &at.caller, id, wanted)?;
    Ok(answer::one("role", role(&at, &found)))
}

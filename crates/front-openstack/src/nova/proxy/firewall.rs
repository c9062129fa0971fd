//! Security groups, as Nova shows them.

use actions::firewall::{self, FirewallChange, NewFirewall};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::Id;
use model::firewall::Firewall;
use serde_json::{Value, json};

use super::{Old, part, retold};
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::proxy::rule::shown_group;
use crate::route::Route;

const ALL: &str = "/v2.1/os-security-groups";
const ONE: &str = "/v2.1/os-security-groups/{id}";
/// Characters of the longest name and description.
const LONGEST: usize = 255;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(ALL, "listSecurityGroups", get(list)),
        Route::new(ALL, "createSecurityGroup", post(create)),
        Route::new(ONE, "showSecurityGroup", get(show)),
        Route::new(ONE, "updateSecurityGroup", put(update)),
        Route::new(ONE, "deleteSecurityGroup", delete(remove)),
    ]
}

/// The identity of a group or a rule in a path.
pub(super) fn path_id(text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("Security group id should be uuid"))
}

async fn list(at: Old) -> Result<Response, ApiError> {
    let mut all = firewall::list(&at.cloud, &at.caller).await?;
    let everybodys = at.caller.is_admin() && at.query.has("all_tenants");
    all.retain(|group| everybodys || group.meta.project == at.caller.project());
    let mut all = part(&at, all)?;
    all.sort_by(|one, other| {
        let key = |group: &Firewall| (group.meta.project, group.meta.name.clone());
        key(one).cmp(&key(other))
    });
    let shown: Vec<Value> = all.iter().map(|group| shown_group(&at, group)).collect();
    Ok(Json(json!({ "security_groups": shown })).into_response())
}

/// The name and the description of a group.
fn words(body: Value) -> Result<(String, String), ApiError> {
    // Nova looks over what it does not know here.
    let mut document = Fields::document(body)?;
    let mut fields = document.required_object("security_group")?;
    let mut text = |name| {
        let text = fields.text(name, 0..=LONGEST)?;
        fields.required(name, text)
    };
    Ok((text("name")?, text("description")?))
}

async fn create(at: Old, body: Body) -> Result<Response, ApiError> {
    let (name, description) = words(body.0)?;
    let new = NewFirewall {
        name,
        description,
        ..NewFirewall::default()
    };
    let made = firewall::create(&at.cloud, &at.caller, new).await;
    let made = made.map_err(retold)?;
    Ok(Json(json!({ "security_group": shown_group(&at, &made) })).into_response())
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = firewall::get(&at.cloud, &at.caller, path_id(&id)?)?;
    Ok(Json(json!({ "security_group": shown_group(&at, &found) })).into_response())
}

async fn update(at: Old, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let (id, (name, description)) = (path_id(&id)?, words(body.0)?);
    let change = FirewallChange {
        name: Some(name),
        description: Some(description),
        ..FirewallChange::default()
    };
    let changed = firewall::update(&at.cloud, &at.caller, id, change).await;
    let changed = changed.map_err(retold)?;
    Ok(Json(json!({ "security_group": shown_group(&at, &changed) })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let removed = firewall::remove(&at.cloud, &at.caller, path_id(&id)?).await;
    removed.map_err(retold)?;
    Ok(StatusCode::ACCEPTED)
}

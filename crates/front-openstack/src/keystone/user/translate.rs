//! Between users and what clients read and write of them.

use actions::identity::user::Changes;
use model::user::{User, UserOptions};
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::Fields;
use crate::{id, time};

/// A user as clients read it.
pub(crate) fn user(at: &At, user: &User) -> Value {
    let spec = &user.spec;
    let own = id::show(user.meta.id);
    let mut shown = spec.extra.clone();
    if let Some(description) = &spec.description {
        shown.insert("description".to_owned(), json!(description));
    }
    if let Some(project) = spec.default_project {
        shown.insert("default_project_id".to_owned(), json!(id::show(project)));
    }
    let password_expires_at = spec
        .passwords
        .first()
        .and_then(|password| password.expires_at)
        .map(time::micros);
    for (name, value) in [
        ("domain_id", json!(id::show(user.meta.project.0))),
        ("enabled", json!(spec.enabled)),
        ("id", json!(own)),
        ("name", json!(user.meta.name)),
        ("options", json!(options(&spec.options))),
        ("password_expires_at", json!(password_expires_at)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    linked(at, "users", &own, shown)
}

fn options(options: &UserOptions) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in [
        (
            "ignore_change_password_upon_first_use",
            options.ignore_change_password_upon_first_use,
        ),
        ("ignore_password_expiry", options.ignore_password_expiry),
        (
            "ignore_lockout_failure_attempts",
            options.ignore_lockout_failure_attempts,
        ),
        ("ignore_user_inactivity", options.ignore_user_inactivity),
        ("lock_password", options.lock_password),
        (
            "multi_factor_auth_enabled",
            options.multi_factor_auth_enabled,
        ),
        ("immutable", options.immutable),
    ] {
        if let Some(value) = value {
            shown.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(rules) = &options.multi_factor_auth_rules {
        shown.insert("multi_factor_auth_rules".to_owned(), json!(rules));
    }
    shown
}

/// What is to be of a user.
pub(super) fn changes(mut fields: Fields) -> Result<Changes, ApiError> {
    Ok(Changes {
        name: fields.name()?,
        description: fields.nullable("description")?,
        enabled: fields.switch("enabled")?,
        default_project: fields.id("default_project_id", "project")?,
        password: fields.nullable("password")?,
        options: fields.object("options")?,
        extra: {
            fields.take("password_expires_at");
            fields.rest()
        },
    })
}

//! Between trusts and what clients read and write of them.

use actions::identity::trust::{New, roles_of};
use model::Id;
use model::trust::Trust;
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::keystone::answer::{linked, root};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, missing, named, parse, timestamp, wrong};
use crate::keystone::role::translate::role;
use crate::{id, time};

/// Where they are, after the version.
pub(super) const PATH: &str = "OS-TRUST/trusts";

/// A trust as clients read it.
pub(super) fn trust(at: &At, trust: &Trust) -> Value {
    let mut shown = fields(trust);
    shown.insert("roles".to_owned(), roles(at, trust));
    shown.insert("roles_links".to_owned(), roles_links(at, trust));
    linked(at, PATH, &id::show(trust.meta.id), shown)
}

/// The same in a list, which tells no roles.
pub(super) fn short(at: &At, trust: &Trust) -> Value {
    linked(at, PATH, &id::show(trust.meta.id), fields(trust))
}

fn fields(trust: &Trust) -> Map<String, Value> {
    let spec = &trust.spec;
    [
        ("deleted_at", Value::Null),
        ("expires_at", json!(spec.expires_at.map(time::micros))),
        ("id", json!(id::show(trust.meta.id))),
        ("impersonation", json!(spec.impersonation)),
        ("project_id", json!(id::show(spec.project))),
        (
            "redelegated_trust_id",
            json!(spec.redelegated.map(id::show)),
        ),
        ("redelegation_count", json!(spec.redelegation_count)),
        ("remaining_uses", json!(spec.remaining_uses)),
        ("trustee_user_id", json!(id::show(spec.trustee))),
        ("trustor_user_id", json!(id::show(spec.trustor))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// The roles that a trust gives.
pub(super) fn roles(at: &At, trust: &Trust) -> Value {
    let roles = roles_of(&at.cloud, trust);
    roles.iter().map(|known| role(at, known)).collect()
}

/// Where they are.
pub(super) fn roles_links(at: &At, trust: &Trust) -> Value {
    let own = format!("{}/{PATH}/{}/roles", root(at), id::show(trust.meta.id));
    json!({ "self": own, "next": null, "previous": null })
}

/// A trust to make.
pub(super) fn new(body: Value) -> Result<New, ApiError> {
    let mut fields = Fields::of(body, "trust")?;
    let roles = match fields.take("roles") {
        None => Vec::new(),
        Some(Value::Array(roles)) => roles.into_iter().map(named).collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong("roles", &other, "array")),
    };
    let expires_at = fields.nullable("expires_at")?.flatten();
    Ok(New {
        trustor: user(&mut fields, "trustor_user_id")?,
        trustee: user(&mut fields, "trustee_user_id")?,
        project: fields
            .id("project_id", "project")?
            .flatten()
            .ok_or_else(|| missing("project_id"))?,
        roles,
        impersonation: fields
            .switch("impersonation")?
            .ok_or_else(|| missing("impersonation"))?,
        expires_at: expires_at.map(|text| timestamp(&text)).transpose()?,
        remaining_uses: count(&mut fields, "remaining_uses", 1)?,
        allow_redelegation: match fields.take("allow_redelegation") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(allowed)) => allowed,
            Some(other) => return Err(wrong("allow_redelegation", &other, "boolean")),
        },
        redelegation_count: count(&mut fields, "redelegation_count", 0)?,
    })
}

fn user(fields: &mut Fields, name: &str) -> Result<Id, ApiError> {
    parse("user", &fields.required(name)?)
}

/// A number from `least` on, or `null`.
fn count(fields: &mut Fields, name: &str, least: u32) -> Result<Option<u32>, ApiError> {
    let value = match fields.take(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let Some(number) = value.as_i64() else {
        return Err(wrong(name, &value, "integer"));
    };
    match u32::try_from(number) {
        Ok(number) if number >= least => Ok(Some(number)),
        Ok(_) | Err(_) if number < i64::from(least) => Err(ApiError::invalid(format!(
            "Invalid input for field '{name}': {number} is less than the minimum of {least}"
        ))),
        Ok(_) | Err(_) => Err(ApiError::invalid(format!(
            "Invalid input for field '{name}': {number} is too large"
        ))),
    }
}

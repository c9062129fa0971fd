//! Between application credentials and what clients read and write of them.

use actions::identity::application_credential::{New, Rule, roles_of, rules_of};
use model::application_credential::{AccessRule, AccessRuleSpec, ApplicationCredential};
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, named, parse, timestamp, wrong};

/// An application credential as clients read it.
pub(super) fn credential(at: &At, credential: &ApplicationCredential) -> Map<String, Value> {
    let spec = &credential.spec;
    let roles: Vec<Value> = roles_of(&at.cloud, credential)
        .iter()
        .map(|role| json!({ "domain_id": null, "id": id::show(role.meta.id), "name": role.meta.name }))
        .collect();
    let mut shown = Map::new();
    // Without a fraction and without a zone: so Keystone shows what it read from its database.
    let expires_at = spec
        .expires_at
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string());
    for (name, value) in [
        ("description", json!(spec.description)),
        ("expires_at", json!(expires_at)),
        ("id", json!(id::show(credential.meta.id))),
        ("name", json!(credential.meta.name)),
        ("project_id", json!(id::show(spec.project))),
        ("roles", json!(roles)),
        ("system", Value::Null),
        ("unrestricted", json!(spec.unrestricted)),
        ("user_id", json!(id::show(spec.user))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    if let Some(rules) = rules_of(&at.cloud, credential) {
        let rules: Vec<Value> = rules
            .iter()
            .map(|rule| Value::Object(fields(rule)))
            .collect();
        shown.insert("access_rules".to_owned(), json!(rules));
    }
    shown
}

/// The same with its address.
pub(super) fn linked_credential(at: &At, fields: Map<String, Value>) -> Value {
    let path = format!(
        "users/{}/application_credentials",
        fields["user_id"].as_str().unwrap_or_default()
    );
    let own = fields["id"].as_str().unwrap_or_default().to_owned();
    linked(at, &path, &own, fields)
}

/// An access rule as clients read it.
pub(super) fn rule(at: &At, user: &str, rule: &AccessRule) -> Value {
    let path = format!("users/{user}/access_rules");
    linked(at, &path, &id::show(rule.meta.id), fields(rule))
}

fn fields(rule: &AccessRule) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(id::show(rule.meta.id)));
    shown.insert("service".to_owned(), json!(rule.spec.service));
    shown.insert("method".to_owned(), json!(rule.spec.method));
    shown.insert("path".to_owned(), json!(rule.spec.path));
    shown
}

/// An application credential to make.
pub(super) fn new(body: Value) -> Result<New, ApiError> {
    let mut fields = Fields::of(body, "application_credential")?;
    let name = fields
        .name()?
        .ok_or_else(|| crate::keystone::fields::missing("name"))?;
    let roles = match fields.take("roles") {
        None => Vec::new(),
        Some(Value::Array(roles)) => roles.into_iter().map(named).collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong("roles", &other, "array")),
    };
    let expires_at = fields.nullable("expires_at")?.flatten();
    let access_rules = match fields.take("access_rules") {
        None | Some(Value::Null) => None,
        Some(Value::Array(rules)) => {
            Some(rules.into_iter().map(new_rule).collect::<Result<_, _>>()?)
        }
        Some(other) => return Err(wrong("access_rules", &other, "array")),
    };
    Ok(New {
        name,
        description: fields.nullable("description")?.flatten(),
        secret: fields.nullable("secret")?.flatten(),
        roles,
        expires_at: expires_at.map(|text| timestamp(&text)).transpose()?,
        unrestricted: fields.switch("unrestricted")?.unwrap_or(false),
        access_rules,
    })
}

fn new_rule(document: Value) -> Result<Rule, ApiError> {
    let mut fields = Fields::of(json!({ "access_rule": document }), "access_rule")?;
    if let Some(text) = fields.text("id")? {
        return Ok(Rule::Known(parse("access rule", &text)?));
    }
    let method = fields.required("method")?;
    if !["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"].contains(&method.as_str()) {
        return Err(ApiError::invalid(format!(
            "Invalid input for field 'access_rules/method': '{method}' is not a method"
        )));
    }
    let path = fields.required("path")?;
    if !path.starts_with('/') {
        return Err(ApiError::invalid(format!(
            "Invalid input for field 'access_rules/path': '{path}' does not match '^\\/.*'"
        )));
    }
    Ok(Rule::New(AccessRuleSpec {
        service: fields.required("service")?,
        method,
        path,
    }))
}

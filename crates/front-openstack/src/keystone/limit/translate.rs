//! Between limits and what clients read and write of them.

use actions::identity::limit::{Changes, NewLimit, NewRegistered};
use model::limit::{Limit, RegisteredLimit, Resource};
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, missing, wrong};

/// A registered limit as clients read it.
pub(super) fn registered(at: &At, limit: &RegisteredLimit) -> Value {
    let own = id::show(limit.meta.id);
    let mut shown = fields(&limit.resource, limit.description.as_deref());
    shown.insert("default_limit".to_owned(), json!(limit.amount));
    shown.insert("id".to_owned(), json!(own));
    linked(at, "registered_limits", &own, shown)
}

/// A limit as clients read it.
pub(super) fn limit(at: &At, limit: &Limit) -> Value {
    let own = id::show(limit.meta.id);
    let owner = json!(id::show(limit.meta.project.0));
    let mut shown = fields(&limit.resource, limit.description.as_deref());
    let (project, domain) = if limit.is_domain {
        (Value::Null, owner)
    } else {
        (owner, Value::Null)
    };
    shown.insert("project_id".to_owned(), project);
    shown.insert("domain_id".to_owned(), domain);
    shown.insert("resource_limit".to_owned(), json!(limit.amount));
    shown.insert("id".to_owned(), json!(own));
    linked(at, "limits", &own, shown)
}

fn fields(resource: &Resource, description: Option<&str>) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("description".to_owned(), json!(description));
    shown.insert("region_id".to_owned(), json!(resource.region));
    shown.insert("resource_name".to_owned(), json!(resource.name));
    shown.insert("service_id".to_owned(), json!(id::show(resource.service)));
    shown
}

/// The objects of a list in a body.
fn objects(body: Value, nouns: &str) -> Result<Vec<Fields>, ApiError> {
    let list = match body {
        Value::Object(mut body) => body.remove(nouns),
        _ => None,
    };
    match list {
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|one| Fields::of(json!({ nouns: one }), nouns))
            .collect(),
        Some(other) => Err(wrong(nouns, &other, "array")),
        None => Err(missing(nouns)),
    }
}

/// Registered limits to make.
pub(super) fn new_registered(body: Value) -> Result<Vec<NewRegistered>, ApiError> {
    let objects = objects(body, "registered_limits")?.into_iter();
    objects
        .map(|mut fields| new(&mut fields, "default_limit"))
        .collect()
}

/// Limits to make.
pub(super) fn new_limits(body: Value) -> Result<Vec<NewLimit>, ApiError> {
    let objects = objects(body, "limits")?.into_iter();
    objects
        .map(|mut fields| {
            let project = fields.id("project_id", "project")?.flatten();
            let domain = fields.id("domain_id", "domain")?.flatten();
            Ok(NewLimit {
                owner: project.or(domain).ok_or_else(|| missing("project_id"))?,
                is_domain: project.is_none(),
                limit: new(&mut fields, "resource_limit")?,
            })
        })
        .collect()
}

fn new(fields: &mut Fields, amount: &str) -> Result<NewRegistered, ApiError> {
    let service = fields
        .id("service_id", "service")?
        .flatten()
        .ok_or_else(|| missing("service_id"))?;
    Ok(NewRegistered {
        resource: Resource {
            service,
            region: fields.nullable("region_id")?.flatten(),
            name: fields
                .word("resource_name")?
                .ok_or_else(|| missing("resource_name"))?,
        },
        amount: self::amount(fields, amount)?.ok_or_else(|| missing(amount))?,
        description: fields.nullable("description")?.flatten(),
    })
}

/// How much; -1 is without limit.
pub(super) fn amount(fields: &mut Fields, name: &str) -> Result<Option<i64>, ApiError> {
    match fields.number(name)? {
        Some(amount) if !(-1..=0x7FFF_FFFF).contains(&amount) => Err(ApiError::invalid(format!(
            "Invalid input for field '{name}': {amount} is not between -1 and 2147483647"
        ))),
        amount => Ok(amount),
    }
}

/// What is to be of a registered limit.
pub(super) fn changes(body: Value) -> Result<Changes, ApiError> {
    let mut fields = Fields::of(body, "registered_limit")?;
    Ok(Changes {
        service: fields.id("service_id", "service")?.flatten(),
        region: fields.nullable("region_id")?,
        resource: fields.word("resource_name")?,
        amount: amount(&mut fields, "default_limit")?,
        description: fields.nullable("description")?,
    })
}

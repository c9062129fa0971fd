//! Answers as Neutron gives them: one object, or a list that is filtered, sorted and cut to a page,
//! with only the attributes that the client wants.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::{Meta, ProjectId};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::error::ApiError;
use crate::front::At;
use crate::query::Query;
use crate::{id, time};

/// Attributes by name.
pub(super) type Object = Map<String, Value>;

/// How a noun is called, and by what its lists can be filtered.
pub(super) struct Noun {
    /// `network`
    pub(super) one: &'static str,
    /// `networks`
    pub(super) many: &'static str,
    /// Its last part in the path: `security-groups`.
    pub(super) path: &'static str,
    /// Its name in the types of errors: `Network`.
    pub(super) kind: &'static str,
    /// Attributes beside those that all nouns have.
    pub(super) attributes: &'static [&'static str],
}

/// Attributes of every noun.
const COMMON: [&str; 9] = [
    "id",
    "name",
    "description",
    "project_id",
    "tenant_id",
    "revision_number",
    "created_at",
    "updated_at",
    "status",
];
/// Parameters of lists that filter by tags.
const TAG_FILTERS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];
/// Parameters of lists that are no filters.
const NO_FILTERS: [&str; 6] = [
    "fields",
    "limit",
    "marker",
    "page_reverse",
    "sort_key",
    "sort_dir",
];

/// What every object has.
pub(super) fn common(meta: &Meta, description: &str, tags: &BTreeSet<String>) -> Object {
    let project = project(meta.project);
    let updated = meta.updated_at.unwrap_or(meta.created_at);
    Map::from_iter([
        ("id".to_owned(), json!(meta.id.to_string())),
        ("name".to_owned(), json!(meta.name)),
        ("description".to_owned(), json!(description)),
        ("project_id".to_owned(), json!(project)),
        ("tenant_id".to_owned(), json!(project)),
        ("tags".to_owned(), json!(tags)),
        (
            "created_at".to_owned(),
            json!(time::seconds(meta.created_at)),
        ),
        ("updated_at".to_owned(), json!(time::seconds(updated))),
        ("revision_number".to_owned(), json!(meta.generation)),
    ])
}

/// A project as it is written; what is the cloud's own is nobody's.
pub(super) fn project(project: ProjectId) -> String {
    if project == ProjectId::SYSTEM {
        return String::new();
    }
    id::show(project.0)
}

/// An object with further attributes.
pub(super) fn with<const N: usize>(mut object: Object, more: [(&str, Value); N]) -> Object {
    object.extend(more.map(|(name, value)| (name.to_owned(), value)));
    object
}

/// One object.
pub(super) fn one(at: &At, noun: &Noun, object: Object) -> Response {
    Json(json!({ noun.one: wanted(&at.query, object) })).into_response()
}

/// An object that was just made.
pub(super) fn made(noun: &Noun, object: Object) -> Response {
    (StatusCode::CREATED, Json(json!({ noun.one: object }))).into_response()
}

/// Objects that were just made together.
pub(super) fn made_many(noun: &Noun, objects: Vec<Object>) -> Response {
    (StatusCode::CREATED, Json(json!({ noun.many: objects }))).into_response()
}

/// What the client wants of a list.
pub(super) fn list(at: &At, noun: &Noun, objects: Vec<Object>) -> Result<Response, ApiError> {
    let query = &at.query;
    check_filters(query, noun)?;
    let mut objects = objects;
    objects.retain(|object| fits(query, object));
    sort(query, &mut objects);
    if query.switch("page_reverse") == Some(true) {
        return Err(ApiError::invalid(
            "Pages cannot be read backwards: page_reverse",
        ));
    }
    // Without or with the limit 0, there is one page.
    let page = match query.get("limit") {
        Some("0") => edge::paging::Page::default(),
        _ => query
            .page()
            .ok_or_else(|| ApiError::invalid("Limit must be an integer 0 or greater"))?,
    };
    let slice = edge::paging::page(objects, &page, |object, marker| object["id"] == marker)
        .map_err(|error| ApiError::not_found(noun.kind, &error.0))?;
    let next = slice
        .items
        .last()
        .filter(|_| slice.has_more)
        .and_then(|last| last["id"].as_str())
        .map(|marker| {
            let path = format!("{}/network/v2.0/{}", at.settings.url, noun.path);
            at.query.address(&path, Some(marker))
        });
    let items: Vec<Object> = slice
        .items
        .into_iter()
        .map(|object| wanted(query, object))
        .collect();
    let mut body = json!({ noun.many: items });
    if let Some(href) = next {
        body[format!("{}_links", noun.many)] = json!([{ "rel": "next", "href": href }]);
    }
    Ok(Json(body).into_response())
}

/// The attributes of an object that the client names; all where it names none.
fn wanted(query: &Query, mut object: Object) -> Object {
    let fields: Vec<&str> = query
        .pairs()
        .filter(|(name, _)| *name == "fields")
        .map(|(_, field)| field)
        .collect();
    if !fields.is_empty() {
        object.retain(|name, _| fields.contains(&name.as_str()));
    }
    object
}

/// Refuses filters by what is no attribute.
fn check_filters(query: &Query, noun: &Noun) -> Result<(), ApiError> {
    let unknown: Vec<&str> = query
        .pairs()
        .map(|(name, _)| name)
        .filter(|name| {
            ![&COMMON[..], &TAG_FILTERS, &NO_FILTERS, noun.attributes]
                .concat()
                .contains(name)
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{} is invalid attribute for filter",
        unknown.join(", ")
    )))
}

/// Whether an object fits all filters. Of a filter that comes more than once, one value is enough.
fn fits(query: &Query, object: &Object) -> bool {
    let filters = || query.pairs().filter(|(name, _)| !NO_FILTERS.contains(name));
    filters().all(|(name, value)| {
        if TAG_FILTERS.contains(&name) {
            return fits_tags(name, value, object);
        }
        let mut same = filters().filter(|(other, _)| *other == name);
        same.any(|(_, value)| object.get(name).is_some_and(|has| is(has, value)))
    })
}

fn fits_tags(how: &str, wanted: &str, object: &Object) -> bool {
    let has = |tag: &str| {
        object["tags"]
            .as_array()
            .is_some_and(|tags| tags.iter().any(|one| one == tag))
    };
    let mut tags = wanted.split(',');
    match how {
        "tags" => tags.all(has),
        "tags-any" => tags.any(has),
        "not-tags" => !tags.all(has),
        _ => !tags.any(has),
    }
}

/// Whether a value is what a filter says: one of a list, or an attribute of an object in a list,
/// `ip_address=10.0.0.2`, or a part of it, `ip_address_substr=10.0.`.
fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted.is_empty(),
        Value::Bool(value) => match wanted.to_ascii_lowercase().as_str() {
            "true" | "1" => *value,
            "false" | "0" => !*value,
            _ => false,
        },
        Value::Number(number) => number.to_string() == wanted,
        Value::String(text) => text == wanted,
        Value::Array(values) => values.iter().any(|value| is(value, wanted)),
        Value::Object(fields) => match wanted.split_once('=') {
            Some(("ip_address_substr", part)) => fields
                .get("ip_address")
                .and_then(Value::as_str)
                .is_some_and(|address| address.contains(part)),
            Some((name, wanted)) => fields.get(name).is_some_and(|value| is(value, wanted)),
            None => false,
        },
    }
}

/// Sorts by the keys that the client names, the first one first.
fn sort(query: &Query, objects: &mut [Object]) {
    let values = |wanted: &'static str| {
        query
            .pairs()
            .filter(move |(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let directions = values("sort_dir").chain(std::iter::repeat("asc"));
    let keys: Vec<(&str, bool)> = values("sort_key")
        .zip(directions)
        .map(|(key, direction)| (key, direction == "desc"))
        .collect();
    // A stable sort by the last key first.
    for (key, is_down) in keys.into_iter().rev() {
        let text = |object: &Object| match object.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        if is_down {
            objects.sort_by_key(|object| std::cmp::Reverse(text(object)));
        } else {
            objects.sort_by_key(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().unwrap())
    }

    fn object() -> Object {
        let value = json!({
            "id": "1", "name": "a", "shared": true, "mtu": 1500, "tags": ["red", "big"],
            "fixed_ips": [{ "ip_address": "10.0.0.2" }],
        });
        value.as_object().unwrap().clone()
    }

    #[test]
    fn filters_are_read_by_the_type_of_the_attribute() {
        for (text, expected) in [
            ("name=a", true),
            ("name=b&name=a", true),
            ("name=b", false),
            ("name=a&shared=False", false),
            ("shared=True&mtu=1500", true),
            ("fixed_ips=ip_address%3D10.0.0.2", true),
            ("fixed_ips=ip_address%3D10.0.0.3", false),
            ("fixed_ips=ip_address_substr%3D0.0.2", true),
            ("fixed_ips=ip_address_substr%3D0.0.3", false),
            ("tags=red,big", true),
            ("tags=red,small", false),
            ("tags-any=red,small", true),
            ("not-tags=red,small", true),
            ("not-tags-any=red,small", false),
            ("limit=1&fields=id", true),
        ] {
            assert_eq!(fits(&query(text), &object()), expected, "{text}");
        }
    }

    #[test]
    fn lists_are_sorted_by_several_keys() {
        let mut objects: Vec<Object> = [("1", "b"), ("2", "a"), ("3", "b")]
            .map(|(id, name)| with(Map::new(), [("id", json!(id)), ("name", json!(name))]))
            .into();
        let sorting = "sort_key=name&sort_dir=desc&sort_key=id&sort_dir=desc";
        sort(&query(sorting), &mut objects);
        let order: Vec<_> = objects.iter().map(|object| &object["id"]).collect();
        assert_eq!(order, ["3", "1", "2"]);
    }

    #[test]
    fn only_wanted_attributes_are_shown() {
        let shown = wanted(&query("fields=id&fields=mtu"), object());
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["id", "mtu"]);
    }
}

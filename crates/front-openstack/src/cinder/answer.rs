//! Answers as Cinder gives them: lists that are filtered, sorted and cut to a page, and links.

use axum::Json;
use axum::response::{IntoResponse, Response};
use edge::paging::Page;
use serde_json::{Value, json};

use super::error::ApiError;
use super::here::Here;
use crate::id;
use crate::query::Query;
pub(super) use crate::time::zoneless as time;

/// The most objects on one page.
const MOST_ON_A_PAGE: usize = 1000;
/// The microversion from which on a list tells how many objects there are.
const WITH_COUNT: u16 = 45;

/// Attributes by which clients may sort, whatever the objects are.
const SORTS: [&str; 12] = [
    "availability_zone",
    "bootable",
    "created_at",
    "description",
    "host",
    "id",
    "name",
    "project_id",
    "size",
    "status",
    "updated_at",
    "volume_id",
];

/// A list of objects, before a client's wishes are looked at.
pub(super) struct List {
    /// What they are called: `volumes`.
    pub(super) many: &'static str,
    /// Their last part in the path: `volumes/detail`.
    pub(super) path: &'static str,
    /// Attributes by which clients may filter; what they name else is looked over.
    pub(super) filters: &'static [&'static str],
    /// The objects, with every attribute, in the order that they have by themselves.
    pub(super) objects: Vec<Value>,
    /// What is shown of each.
    pub(super) shown: fn(Value) -> Value,
}

impl List {
    /// What the client wants of it.
    pub(super) fn answer(self, here: &Here) -> Result<Response, ApiError> {
        let query = &here.query;
        let mut objects = self.objects;
        for (name, wanted) in query
            .pairs()
            .filter(|(name, _)| self.filters.contains(name))
        {
            objects.retain(|object| is(&object[name], wanted));
        }
        sort(query, &mut objects)?;
        let count = objects.len();
        if let Some(offset) = query.get("offset") {
            let offset: usize = offset
                .parse()
                .ok()
                .filter(|offset| i64::try_from(*offset).is_ok_and(|it| it <= i64::from(i32::MAX)))
                .ok_or_else(|| ApiError::invalid("offset param must be an integer"))?;
            objects.drain(..offset.min(count));
        }
        let page = page(query)?;
        let mut slice = edge::paging::page(objects, &page, |object, marker| object["id"] == marker)
            .map_err(|error| ApiError::not_found(format!("marker [{}] not found", error.0)))?;
        if page.limit.is_none() {
            // 0 is nothing but the question whether the request is right.
            slice.items.clear();
        }
        let next = slice
            .items
            .last()
            // A page that is full has a next one, be it empty.
            .filter(|_| slice.has_more || is_full(&page, slice.items.len()))
            .and_then(|last| last["id"].as_str())
            .map(|marker| {
                let path = format!("{}/{}", base(here), self.path);
                query.address(&path, Some(marker))
            });
        let items: Vec<Value> = slice.items.into_iter().map(self.shown).collect();
        let mut body = json!({ self.many: items });
        if let Some(href) = next {
            body[format!("{}_links", self.many)] = json!([{ "rel": "next", "href": href }]);
        }
        if here.minor >= WITH_COUNT && query.switch("with_count") == Some(true) {
            body["count"] = json!(count);
        }
        Ok(Json(body).into_response())
    }
}

fn is_full(page: &Page, items: usize) -> bool {
    page.limit.is_some_and(|limit| limit.get() == items)
}

fn page(query: &Query) -> Result<Page, ApiError> {
    let limit = match query.get("limit") {
        None => None,
        Some(text) => match text.parse::<i64>() {
            Ok(limit) if limit >= 0 => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
            Ok(_) => return Err(ApiError::invalid("limit param must be positive")),
            Err(_) => return Err(ApiError::invalid("limit param must be an integer")),
        },
    };
    let limit = limit.unwrap_or(MOST_ON_A_PAGE).min(MOST_ON_A_PAGE);
    Ok(Page {
        limit: std::num::NonZeroUsize::new(limit),
        marker: query.get("marker").map(str::to_owned),
    })
}

/// The address of the project's own part of the API.
pub(super) fn base(here: &Here) -> String {
    let project = id::show(here.caller.project().0);
    format!("{}/volume/v3/{project}", here.settings.url)
}

/// Links to an object, at its path below the project's.
pub(super) fn links(here: &Here, path: &str) -> Value {
    let project = id::show(here.caller.project().0);
    json!([
        { "rel": "self", "href": format!("{}/{path}", base(here)) },
        { "rel": "bookmark", "href": format!("{}/volume/{project}/{path}", here.settings.url) },
    ])
}

/// Whether a value is what a filter says: words by name as Python writes them, `{'a': 'b'}`.
fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted.is_empty(),
        Value::Bool(value) => super::fields::switch_of(wanted) == Some(*value),
        Value::Number(number) => number.to_string() == wanted,
        Value::String(text) => {
            text == wanted || text.eq_ignore_ascii_case(wanted) && is_switch(text)
        }
        Value::Object(words) => {
            let wanted = serde_json::from_str(&wanted.replace('\'', "\"")).unwrap_or(Value::Null);
            wanted.as_object().is_some_and(|wanted| {
                let mut pairs = wanted.iter();
                pairs.all(|(key, value)| words.get(key) == Some(value))
            })
        }
        Value::Array(values) => values.iter().any(|value| is(value, wanted)),
    }
}

fn is_switch(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// Sorts by the keys that the client names: `sort=name:asc,size`, or the older `sort_key` and
/// `sort_dir`.
fn sort(query: &Query, objects: &mut [Value]) -> Result<(), ApiError> {
    let mut keys: Vec<(String, String)> = Vec::new();
    if let Some(text) = query.get("sort") {
        if query.has("sort_key") || query.has("sort_dir") {
            return Err(ApiError::invalid(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
            ));
        }
        for part in text.split(',') {
            let (key, direction) = part.split_once(':').unwrap_or((part, "desc"));
            keys.push((key.trim().to_owned(), direction.trim().to_owned()));
        }
    } else if query.has("sort_key") || query.has("sort_dir") {
        let key = query.get("sort_key").unwrap_or("created_at");
        let direction = query.get("sort_dir").unwrap_or("desc");
        keys.push((key.to_owned(), direction.to_owned()));
    }
    // A stable sort by the last key first.
    for (key, direction) in keys.iter().rev() {
        let key = match key.as_str() {
            "display_name" => "name",
            key => key,
        };
        if !SORTS.contains(&key) {
            return Err(ApiError::invalid(format!("Invalid sort key: {key}")));
        }
        let is_down = match direction.as_str() {
            "asc" => false,
            "desc" => true,
            _ => {
                return Err(ApiError::invalid(
                    "Unknown sort direction, must be 'desc' or 'asc'.",
                ));
            }
        };
        let rank = |object: &Value| match &object[key] {
            Value::Number(number) => (number.as_u64().unwrap_or(0), String::new()),
            Value::String(text) => (0, text.clone()),
            other => (0, other.to_string()),
        };
        if is_down {
            objects.sort_by_key(|object| std::cmp::Reverse(rank(object)));
        } else {
            objects.sort_by_key(rank);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn filters_are_read_by_the_type_of_the_attribute() {
        let object =
            json!({ "name": "a", "size": 2, "bootable": "false", "metadata": { "k": "v" } });
        for (name, wanted, expected) in [
            ("name", "a", true),
            ("name", "A", false),
            ("size", "2", true),
            ("bootable", "False", true),
            ("metadata", "{'k': 'v'}", true),
            ("metadata", "{\"k\": \"w\"}", false),
            ("metadata", "nonsense", false),
        ] {
            assert_eq!(is(&object[name], wanted), expected, "{name}={wanted}");
        }
    }

    #[test]
    fn lists_are_sorted_by_several_keys() {
        let mut objects: Vec<Value> = [("1", "b", 10), ("2", "a", 9), ("3", "b", 9)]
            .map(|(id, name, size)| json!({ "id": id, "name": name, "size": size }))
            .into();
        sort(&query("sort=size:asc,name:desc"), &mut objects).unwrap();
        let order: Vec<_> = objects.iter().map(|object| &object["id"]).collect();
        assert_eq!(order, ["3", "2", "1"]);
        assert!(sort(&query("sort=size:up"), &mut objects).is_err());
        assert!(sort(&query("sort=colour:asc"), &mut objects).is_err());
        assert!(sort(&query("sort=size&sort_key=name"), &mut objects).is_err());
    }

    #[test]
    fn a_page_has_a_limit_that_can_be() {
        assert_eq!(page(&query("limit=2")).unwrap().limit.unwrap().get(), 2);
        assert!(page(&query("limit=-1")).is_err());
        assert!(page(&query("limit=x")).is_err());
    }
}

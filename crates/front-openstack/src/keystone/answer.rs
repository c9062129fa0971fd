//! Answers as Keystone gives them: one object, or a page of a list, with links.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::front::At;

/// An object with its own address under `path`: `{"user": {..., "links": {"self": ...}}}`.
pub(super) fn linked(at: &At, path: &str, key: &str, mut fields: Map<String, Value>) -> Value {
    let own = format!("{}/{path}/{key}", root(at));
    fields.insert("links".to_owned(), json!({ "self": own }));
    Value::Object(fields)
}

/// Where version 3 is.
pub(super) fn root(at: &At) -> String {
    format!("{}/identity/v3", at.settings.url)
}

/// One object.
pub(super) fn one(noun: &str, object: Value) -> Response {
    Json(json!({ noun: object })).into_response()
}

/// An object that was just made.
pub(super) fn made(noun: &str, object: Value) -> Response {
    (StatusCode::CREATED, Json(json!({ noun: object }))).into_response()
}

/// The page of a list that the client asks for.
pub(super) fn list(
    at: &At,
    path: &str,
    nouns: &str,
    objects: Vec<Value>,
) -> Result<Response, ApiError> {
    Ok(Json(page(at, path, nouns, objects)?).into_response())
}

/// The same, before it is sent.
pub(super) fn page(
    at: &At,
    path: &str,
    nouns: &str,
    objects: Vec<Value>,
) -> Result<Value, ApiError> {
    let wanted = at
        .query
        .page()
        .ok_or_else(|| ApiError::invalid("Invalid input for field 'limit': it is not a number"))?;
    let slice = edge::paging::page(objects, &wanted, |object, marker| object["id"] == marker)
        .map_err(|error| ApiError::not_found("marker", &error.0))?;
    let own = format!("{}/{path}", root(at));
    let next = slice.items.last().filter(|_| slice.has_more).map(|last| {
        let marker = last["id"].as_str().unwrap_or_default();
        let limit = wanted.limit.map_or(0, std::num::NonZeroUsize::get);
        format!("{own}?limit={limit}&marker={marker}")
    });
    Ok(json!({
        nouns: slice.items,
        "links": { "next": next, "previous": null, "self": own },
    }))
}

/// Whether a text fits a filter such as `name` or `name__contains`.
pub(super) fn fits(at: &At, field: &str, text: &str) -> bool {
    at.query.pairs().all(|(key, wanted)| {
        let Some(how) = key.strip_prefix(field) else {
            return true;
        };
        let (lower, wanted_lower) = (text.to_lowercase(), wanted.to_lowercase());
        match how {
            "" => text == wanted,
            "__contains" => text.contains(wanted),
            "__icontains" => lower.contains(&wanted_lower),
            "__startswith" => text.starts_with(wanted),
            "__istartswith" => lower.starts_with(&wanted_lower),
            "__endswith" => text.ends_with(wanted),
            "__iendswith" => lower.ends_with(&wanted_lower),
            _ => true,
        }
    })
}

/// Whether a switch fits a filter such as `enabled`.
pub(super) fn fits_switch(at: &At, field: &str, is_on: bool) -> bool {
    at.query.switch(field).is_none_or(|wanted| wanted == is_on)
}

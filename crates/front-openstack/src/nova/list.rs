//! Lists in pages, and links, as Nova gives them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::front::At;

/// Items of the largest page.
const MOST: usize = 1_000;

/// A page, and the link to the next one where there is more.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<Value>,
}

/// The page that a client wants of a list at `path`; `id` is what a marker names.
pub(super) fn page<T>(
    at: &At,
    path: &str,
    mut items: Vec<T>,
    id: impl Fn(&T) -> String,
) -> Result<Page<T>, ApiError> {
    if let Some(marker) = at.query.get("marker") {
        let last = items.iter().position(|item| id(item) == marker);
        let last = last.ok_or_else(|| ApiError::invalid(format!("marker [{marker}] not found")))?;
        items.drain(..=last);
    }
    let limit = match at.query.get("limit") {
        None => MOST,
        Some(text) => text.parse::<usize>().map_err(|_| {
            ApiError::invalid(format!(
                "Invalid input for query parameters limit. Value: {text}. '{text}' does not match \
                 '^[0-9]*$'"
            ))
        })?,
    };
    let limit = limit.min(MOST);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| {
        let kept = at.query.pairs().filter(|(name, _)| *name != "marker");
        let mut query: Vec<String> = kept
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        query.push(format!("marker={}", encoded(&id(last))));
        let url = &at.settings.url;
        json!([{ "rel": "next", "href": format!("{url}/compute/v2.1/{path}?{}", query.join("&")) }])
    });
    Ok(Page { items, next })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Where an object is found, with and without the version in the path.
pub(super) fn links(at: &At, path: &str, id: &str) -> Value {
    let url = &at.settings.url;
    let id = encoded(id);
    json!([
        { "rel": "self", "href": format!("{url}/compute/v2.1/{path}/{id}") },
        { "rel": "bookmark", "href": format!("{url}/compute/{path}/{id}") },
    ])
}

/// From microversion 2.75 on, refuses parameters that a list does not know.
pub(super) fn check_query(at: &At, known: &[&str]) -> Result<(), ApiError> {
    let unknown = at.query.pairs().map(|(name, _)| name);
    let mut unknown = unknown.filter(|name| !known.contains(name));
    match unknown.next().filter(|_| at.minor >= 75) {
        None => Ok(()),
        Some(name) => Err(ApiError::invalid(format!(
            "Additional properties are not allowed ('{name}' was unexpected)"
        ))),
    }
}

/// Refuses a microversion that does not have an operation.
pub(super) fn since(at: &At, first: u16) -> Result<(), ApiError> {
    within(at, first, u16::MAX)
}

/// As [`since`], for one that came to an end.
pub(super) fn within(at: &At, first: u16, last: u16) -> Result<(), ApiError> {
    if (first..=last).contains(&at.minor) {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "API version 2.{} is not supported on this method.",
        at.minor
    )))
}

//! Pages of lists as Glance gives them: the items, the address of the first page, and of the next.

use axum::Json;
use axum::response::{IntoResponse, Response};
use edge::paging::{Page, Slice};
use model::Id;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::front::At;

/// Attributes by name.
pub(super) type Object = Map<String, Value>;

/// Items on a page where the client does not say.
const USUAL_LIMIT: usize = 25;
/// Most items on a page.
const MOST: usize = 1000;

/// The identity in a path; what cannot be one is nobody's.
pub(super) fn path_id(what: &str, text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("No {what} found with ID {text}")))
}

/// A list of which clients see pages.
pub(super) struct Paged {
    /// What the items are called, in the plural.
    pub(super) noun: &'static str,
    /// The path of the list.
    pub(super) path: String,
    /// The path of the schema of the list.
    pub(super) schema: String,
    /// The attribute by which a client says where the next page begins.
    pub(super) key: &'static str,
}

/// The page of `items` that the client asks for; `noun` is in the plural.
pub(super) fn page(at: &At, noun: &'static str, items: Vec<Object>) -> Result<Response, ApiError> {
    let paged = Paged {
        noun,
        path: format!("/v2/{noun}"),
        schema: format!("/v2/schemas/{noun}"),
        key: "id",
    };
    page_of(at, &paged, items)
}

/// The page of a list that the client asks for.
pub(super) fn page_of(at: &At, list: &Paged, items: Vec<Object>) -> Result<Response, ApiError> {
    let limit = match at.query.get("limit") {
        None => USUAL_LIMIT,
        Some(text) => match text.parse::<i64>() {
            Ok(limit) => usize::try_from(limit)
                .map_err(|_| ApiError::invalid("limit param must be positive"))?
                .min(MOST),
            Err(_) => return Err(ApiError::invalid("limit param must be an integer")),
        },
    };
    let page = Page {
        limit: std::num::NonZeroUsize::new(limit),
        marker: at.query.get("marker").map(str::to_owned),
    };
    let mut slice = edge::paging::page(items, &page, |item, marker| item[list.key] == marker)
        .map_err(|error| {
            ApiError::invalid(format!("No {} found with ID {}", list.noun, error.0))
        })?;
    if limit == 0 {
        slice = Slice {
            items: Vec::new(),
            has_more: false,
        };
    }
    let next = slice
        .items
        .last()
        .filter(|_| slice.has_more)
        .and_then(|last| last[list.key].as_str());
    let mut body = json!({
        "first": at.query.address(&list.path, None),
        "schema": list.schema,
    });
    if let Some(marker) = next {
        body["next"] = json!(at.query.address(&list.path, Some(marker)));
    }
    body[list.noun] = json!(slice.items);
    Ok(Json(body).into_response())
}

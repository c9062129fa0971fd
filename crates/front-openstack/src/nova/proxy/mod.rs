//! Other services as Nova showed them before they had clients of their own: images, volumes,
//! snapshots, floating addresses, security groups and networks. A file a noun.
//!
//! They are the same records and the same actions as those of the services, in older words, and end
//! with a microversion. What Nova itself has taken away by now is [`gone`].

mod firewall;
pub(super) mod fixed;
mod floating;
mod gone;
mod image;
mod image_metadata;
mod network;
mod rule;
mod snapshot;
mod volume;

use std::ops::Deref;

use actions::{ActionError, ErrorKind};
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use model::Id;

use super::error::ApiError;
use super::list::within;
use crate::front::{At, Front};
use crate::route::Route;

pub(super) use floating::{associate, dissociate};
pub(super) use rule::shown_group as shown_firewall;

/// The last microversion with most of them.
const LAST: u16 = 35;
/// The last with the actions of servers that change addresses.
const LAST_WITH_ACTIONS: u16 = 43;
/// The last with the metadata of images.
const LAST_WITH_METADATA: u16 = 38;

pub(super) fn routes() -> Vec<Route> {
    [
        image::routes(),
        image_metadata::routes(),
        volume::routes(),
        snapshot::routes(),
        floating::routes(),
        firewall::routes(),
        rule::routes(),
        network::routes(),
        gone::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The surroundings of a request for what ended with microversion 2.`LAST`; missing for newer ones.
struct Until<const LAST: u16>(At);

/// Of most proxies.
type Old = Until<LAST>;

impl<const LAST: u16> Deref for Until<LAST> {
    type Target = At;

    fn deref(&self) -> &At {
        &self.0
    }
}

impl<const LAST: u16> FromRequestParts<Front> for Until<LAST> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Self::Rejection> {
        let at = At::from_request_parts(parts, front).await?;
        within(&at, 1, LAST).map_err(IntoResponse::into_response)?;
        Ok(Self(at))
    }
}

/// The part of a list that a client wants: so many from an offset on.
fn part<T>(at: &At, items: Vec<T>) -> Result<Vec<T>, ApiError> {
    let number = |name: &str| -> Result<Option<usize>, ApiError> {
        let text = at.query.get(name);
        let number = text.map(str::parse).transpose();
        number.map_err(|_| {
            ApiError::invalid(format!(
                "Invalid input for query parameters {name}. Value: {}. It must be a number of at \
                 least 0.",
                text.unwrap_or_default()
            ))
        })
    };
    let (offset, limit) = (number("offset")?, number("limit")?);
    let items = items.into_iter().skip(offset.unwrap_or(0));
    Ok(items.take(limit.unwrap_or(usize::MAX)).collect())
}

/// The identity in a path; what cannot be one is nobody's. `noun` as in "Volume x could not be found."
fn path_id(noun: &str, text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("{noun} {text} could not be found.")))
}

/// A refusal as Nova tells one that it was told itself: a state that forbids something is a wrong
/// request.
fn retold(error: ActionError) -> ApiError {
    match error.kind {
        ErrorKind::Conflict => ApiError::invalid(error.message),
        _ => error.into(),
    }
}

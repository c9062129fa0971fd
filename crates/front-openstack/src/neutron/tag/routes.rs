//! Paths of tags.

use std::collections::BTreeSet;

use actions::firewall::FirewallChange;
use actions::floating::FloatingChange;
use actions::network::NetworkChange;
use actions::port::PortChange;
use actions::router::RouterChange;
use actions::subnet::SubnetChange;
use actions::{firewall, floating, network, port, router, subnet};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::Id;
use serde_json::json;

use crate::front::At;
use crate::neutron::answer::Noun;
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, check_tag, missing, path_id};
use crate::neutron::{self, Body};
use crate::route::Route;

/// The nouns that have tags.
pub(in crate::neutron) const TAGGED: [Noun; 7] = [
    neutron::network::routes::NOUN,
    neutron::subnet::routes::NOUN,
    neutron::port::routes::NOUN,
    neutron::firewall::routes::NOUN,
    neutron::rule::routes::NOUN,
    neutron::router::routes::NOUN,
    neutron::floating::routes::NOUN,
];

/// The most tags of one object, as Neutron has it.
const MOST: usize = 50;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/{noun}/{id}/tags", "listTags", get(list)),
        Route::new("/v2.0/{noun}/{id}/tags", "replaceTags", put(replace)),
        Route::new("/v2.0/{noun}/{id}/tags", "deleteTags", delete(clear)),
        Route::new("/v2.0/{noun}/{id}/tags/{tag}", "showTag", get(show)),
        Route::new("/v2.0/{noun}/{id}/tags/{tag}", "addTag", put(add)),
        Route::new("/v2.0/{noun}/{id}/tags/{tag}", "deleteTag", delete(remove)),
    ]
}

/// Something with tags.
struct Tagged {
    noun: Noun,
    id: Id,
}

impl Tagged {
    fn find(noun: &str, id: &str) -> Result<Self, ApiError> {
        let found = TAGGED.into_iter().find(|known| known.path == noun);
        let noun = found.ok_or_else(|| ApiError::not_found("Resource", noun))?;
        let id = path_id(noun.kind, id)?;
        Ok(Self { noun, id })
    }

    fn tags(&self, at: &At) -> Result<BTreeSet<String>, ApiError> {
        let (cloud, caller, id) = (&at.cloud, &at.caller, self.id);
        Ok(match self.noun.one {
            "network" => network::get(cloud, caller, id)?.spec.tags.clone(),
            "subnet" => subnet::get(cloud, caller, id)?.subnet.tags,
            "port" => port::get(cloud, caller, id)?.port.spec.tags.clone(),
            "security_group" => firewall::get(cloud, caller, id)?.spec.tags.clone(),
            "security_group_rule" => firewall::rule(cloud, caller, id)?.1.tags,
            "router" => router::get(cloud, caller, id)?.router.spec.tags.clone(),
            _ => floating::get(cloud, caller, id)?.floating.spec.tags.clone(),
        })
    }

    async fn set(&self, at: &At, tags: BTreeSet<String>) -> Result<(), ApiError> {
        tags.iter().try_for_each(|tag| check_tag(tag))?;
        if tags.len() > MOST {
            return Err(ApiError::invalid(format!(
                "There are more than {MOST} tags"
            )));
        }
        let (cloud, caller, id) = (&at.cloud, &at.caller, self.id);
        if self.noun.one == "security_group_rule" {
            firewall::update_rule(cloud, caller, id, tags).await?;
            return Ok(());
        }
        let tags = Some(tags);
        match self.noun.one {
            "network" => {
                let change = NetworkChange {
                    tags,
                    ..Default::default()
                };
                network::update(cloud, caller, id, change).await.map(drop)
            }
            "subnet" => {
                let change = SubnetChange {
                    tags,
                    ..Default::default()
                };
                subnet::update(cloud, caller, id, change).await.map(drop)
            }
            "port" => {
                let change = PortChange {
                    tags,
                    ..Default::default()
                };
                port::update(cloud, caller, id, change).await.map(drop)
            }
            "security_group" => {
                let change = FirewallChange {
                    tags,
                    ..Default::default()
                };
                firewall::update(cloud, caller, id, change).await.map(drop)
            }
            "router" => {
                let change = RouterChange {
                    tags,
                    ..Default::default()
                };
                router::update(cloud, caller, id, change).await.map(drop)
            }
            _ => {
                let change = FloatingChange {
                    tags,
                    ..Default::default()
                };
                floating::update(cloud, caller, id, change).await.map(drop)
            }
        }?;
        Ok(())
    }
}

async fn list(at: At, Path((noun, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let tags = Tagged::find(&noun, &id)?.tags(&at)?;
    Ok(Json(json!({ "tags": tags })).into_response())
}

async fn replace(
    at: At,
    Path((noun, id)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let mut fields = Fields::all(body.0, "body")?;
    let tags = fields.tags()?.ok_or_else(|| missing("tags"))?;
    fields.done()?;
    Tagged::find(&noun, &id)?.set(&at, tags.clone()).await?;
    Ok(Json(json!({ "tags": tags })).into_response())
}

async fn clear(at: At, Path((noun, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    Tagged::find(&noun, &id)?.set(&at, BTreeSet::new()).await?;
    Ok(StatusCode::NO_CONTENT)
}

type OfTag = Path<(String, String, String)>;

async fn show(at: At, Path((noun, id, tag)): OfTag) -> Result<StatusCode, ApiError> {
    let tags = Tagged::find(&noun, &id)?.tags(&at)?;
    if tags.contains(&tag) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("Tag", &tag))
}

async fn add(at: At, Path((noun, id, tag)): OfTag) -> Result<StatusCode, ApiError> {
    let tagged = Tagged::find(&noun, &id)?;
    let mut tags = tagged.tags(&at)?;
    tags.insert(tag);
    tagged.set(&at, tags).await?;
    Ok(StatusCode::CREATED)
}

async fn remove(at: At, Path((noun, id, tag)): OfTag) -> Result<StatusCode, ApiError> {
    let tagged = Tagged::find(&noun, &id)?;
    let mut tags = tagged.tags(&at)?;
    if !tags.remove(&tag) {
        return Err(ApiError::not_found("Tag", &tag));
    }
    tagged.set(&at, tags).await?;
    Ok(StatusCode::NO_CONTENT)
}

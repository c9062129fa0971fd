//! Between an aggregate and what clients read and write of it.

use std::collections::{BTreeMap, BTreeSet};

use actions::aggregate::AggregateChange;
use actions::node;
use model::aggregate::Aggregate;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, text_of, wrong};
use crate::nova::number;
use crate::time;

/// Characters of the longest name and value of metadata.
const LONGEST: usize = 255;

/// What is asked of an aggregate.
pub(super) enum Deed {
    AddHost(String),
    RemoveHost(String),
    SetMetadata(AggregateChange),
}

/// An aggregate as clients read it, with its nodes by name.
pub(super) fn shown(at: &At, aggregate: &Aggregate) -> Value {
    let nodes = node::list(&at.cloud, &at.caller).unwrap_or_default();
    let hosts: Vec<&str> = nodes
        .iter()
        .filter(|view| aggregate.nodes.contains(&view.node.meta.id))
        .map(|view| view.node.meta.name.as_str())
        .collect();
    let mut shown = brief(at, aggregate);
    shown["hosts"] = json!(hosts);
    shown["metadata"] = json!(aggregate.metadata);
    shown
}

/// As [`shown`], of one that was just made.
pub(super) fn brief(at: &At, aggregate: &Aggregate) -> Value {
    let meta = &aggregate.meta;
    let naive = |at| time::micros(at).trim_end_matches('Z').to_owned();
    let mut shown = json!({
        "id": number::of(meta.id),
        "name": meta.name,
        "availability_zone": aggregate.zone(),
        "created_at": naive(meta.created_at),
        "updated_at": meta.updated_at.map(naive),
        "deleted": false,
        "deleted_at": Value::Null,
    });
    if at.minor >= 41 {
        shown["uuid"] = json!(meta.id.to_string());
    }
    shown
}

/// Name and zone of the aggregate to make.
pub(super) fn new(body: Value) -> Result<(String, Option<String>), ApiError> {
    let mut fields = Fields::of(body, "aggregate")?;
    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    let zone = zone(&mut fields)?.flatten();
    fields.done().map(|()| (name, zone))
}

/// A zone's name, which has no colon: in a request of a server it stands between zone and host.
fn zone(fields: &mut Fields) -> Result<Option<Option<String>>, ApiError> {
    const NAME: &str = Aggregate::ZONE;
    let zone = fields.text_or_null(NAME, 1..=LONGEST)?;
    if let Some(Some(text)) = &zone
        && (text.trim() != text || text.contains(':') || text.chars().any(char::is_control))
    {
        let message = "A zone's name has no colon and no blanks around it";
        return Err(wrong(NAME, &json!(text), message));
    }
    Ok(zone)
}

/// What to change of an aggregate: its name, or its zone.
pub(super) fn change(body: Value) -> Result<AggregateChange, ApiError> {
    let mut fields = Fields::of(body, "aggregate")?;
    let name = fields.text("name", 1..=LONGEST)?;
    let zone = zone(&mut fields)?;
    if name.is_none() && zone.is_none() {
        return Err(fields.complain("{} is not valid under any of the given schemas"));
    }
    fields.done()?;
    let zone = zone.map(|zone| (Aggregate::ZONE.to_owned(), Some(zone.unwrap_or_default())));
    Ok(AggregateChange {
        name: name.map(|name| name.trim().to_owned()),
        metadata: zone.into_iter().collect(),
    })
}

/// What is asked of an aggregate.
pub(super) fn deed(body: Value) -> Result<Deed, ApiError> {
    let mut document = Fields::document(body)?;
    let host = |mut fields: Fields| {
        let host = fields.text("host", 1..=LONGEST)?;
        let host = fields.required("host", host)?;
        fields.done().map(|()| host)
    };
    let deed = if let Some(fields) = document.object("add_host")? {
        Deed::AddHost(host(fields)?)
    } else if let Some(fields) = document.object("remove_host")? {
        Deed::RemoveHost(host(fields)?)
    } else if let Some(mut fields) = document.object("set_metadata")? {
        let words = fields.required_object("metadata")?;
        fields.done()?;
        Deed::SetMetadata(AggregateChange {
            name: None,
            metadata: metadata(words)?,
        })
    } else {
        return Err(ApiError::invalid("There is no such action"));
    };
    document.done().map(|()| deed)
}

fn metadata(mut words: Fields) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let names: Vec<String> = words.names().map(str::to_owned).collect();
    let mut metadata = BTreeMap::new();
    for name in names {
        let value = words.text_or_null(&name, 0..=LONGEST)?.flatten();
        text_of("metadata", json!(name), &(1..=LONGEST))?;
        metadata.insert(name, value);
    }
    words.done().map(|()| metadata)
}

/// Refuses a list of images that cannot be.
pub(super) fn check_images(body: Value) -> Result<(), ApiError> {
    let mut document = Fields::document(body)?;
    let images = document.objects("cache", |image| {
        let id = image.id("id")?;
        image.required("id", id)
    })?;
    let images = document.required("cache", images)?;
    document.done()?;
    if images.is_empty() {
        return Err(wrong("cache", &json!([]), "[] should be non-empty"));
    }
    let different: BTreeSet<_> = images.iter().collect();
    if different.len() < images.len() {
        return Err(ApiError::invalid("Duplicate images in request"));
    }
    Ok(())
}

//! Between metadata definitions and what clients read and write of them.

use std::collections::BTreeMap;

use actions::metadata_namespace::{Entry, Header};
use jiff::Timestamp;
use model::ProjectId;
use model::metadata_namespace::{
    Association, Definition, MetadataNamespace, MetadataObject, Stamp,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::wire;
use crate::glance::answer::Object;
use crate::glance::error::ApiError;
use crate::{id, time};

/// The path of all namespaces.
pub(super) const NAMESPACES: &str = "/v2/metadefs/namespaces";

/// The path of a namespace.
pub(super) fn path(namespace: &str) -> String {
    format!(
        "{NAMESPACES}/{}",
        utf8_percent_encode(namespace, NON_ALPHANUMERIC)
    )
}

/// What a namespace is to be, apart from what is in it.
pub(super) fn header(body: &wire::Namespace) -> Result<Header, ApiError> {
    wire::check_name("namespace", &body.namespace)?;
    wire::check_description("namespace", body.description.as_deref())?;
    let owner = body.owner.as_deref().map(|text| {
        id::parse(text)
            .map(ProjectId)
            .ok_or_else(|| ApiError::invalid(format!("owner: '{text}' is no project")))
    });
    Ok(Header {
        name: body.namespace.clone(),
        owner: owner.transpose()?,
        title: body.display_name.clone(),
        description: body.description.clone(),
        public: body.visibility == Some(wire::Visibility::Public),
        protected: body.protected.unwrap_or(false),
    })
}

/// What is to be in a namespace from the start.
pub(super) fn entries(body: wire::Namespace) -> Result<Vec<Entry>, ApiError> {
    let properties = body
        .properties
        .into_iter()
        .map(|(name, one)| property(name, one.definition));
    let objects = body.objects.into_iter().map(object);
    let types = body.resource_type_associations.into_iter().map(association);
    let tags = body.tags.into_iter().map(tag);
    properties.chain(objects).chain(types).chain(tags).collect()
}

/// A property to be in a namespace.
pub(super) fn property(name: String, definition: Definition) -> Result<Entry, ApiError> {
    wire::check_name("property", &name)?;
    Ok(Entry::Property(name, definition))
}

/// An object to be in a namespace.
pub(super) fn object(object: wire::Object) -> Result<Entry, ApiError> {
    wire::check_name("object", &object.name)?;
    let properties = object.properties.unwrap_or_default().into_iter();
    let made = MetadataObject {
        description: object.description,
        required: object.required.unwrap_or_default(),
        properties: properties
            .map(|(name, one)| (name, one.definition))
            .collect(),
        stamp: Stamp::new(Timestamp::UNIX_EPOCH),
    };
    Ok(Entry::Object(object.name, made))
}

/// A type of resources to be in a namespace.
pub(super) fn association(about: wire::Association) -> Result<Entry, ApiError> {
    let noun = "resource_type_association";
    wire::check_name(noun, &about.name)?;
    let texts = [&about.prefix, &about.properties_target];
    for text in texts.into_iter().flatten() {
        wire::check_name(noun, text)?;
    }
    let made = Association {
        prefix: about.prefix,
        properties_target: about.properties_target,
        stamp: Stamp::new(Timestamp::UNIX_EPOCH),
    };
    Ok(Entry::ResourceType(about.name, made))
}

/// A tag to be in a namespace.
pub(super) fn tag(tag: wire::Tag) -> Result<Entry, ApiError> {
    wire::check_name("tag", &tag.name)?;
    Ok(Entry::Tag(tag.name))
}

fn put<const N: usize>(object: &mut Object, more: [(&str, Option<Value>); N]) {
    let there = more
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    object.extend(there);
}

fn stamped<const N: usize>(stamp: Stamp, more: [(&str, Option<Value>); N]) -> Object {
    let mut object = Map::new();
    put(&mut object, more);
    let times = [
        ("created_at", Some(json!(time::seconds(stamp.created_at)))),
        ("updated_at", Some(json!(time::seconds(stamp.updated_at)))),
    ];
    put(&mut object, times);
    object
}

/// A namespace without what is in it, but for the types of resources that it is about.
pub(super) fn brief(namespace: &MetadataNamespace) -> Object {
    let (meta, spec) = (&namespace.meta, &namespace.spec);
    let stamp = Stamp {
        created_at: meta.created_at,
        updated_at: meta.updated_at.unwrap_or(meta.created_at),
    };
    let visibility = if spec.public { "public" } else { "private" };
    let types: Vec<Object> = associations(namespace);
    stamped(
        stamp,
        [
            ("namespace", Some(json!(meta.name))),
            ("display_name", spec.title.as_ref().map(|text| json!(text))),
            (
                "description",
                spec.description.as_ref().map(|text| json!(text)),
            ),
            ("visibility", Some(json!(visibility))),
            ("protected", Some(json!(spec.protected))),
            ("owner", Some(json!(id::show(spec.owner.0)))),
            ("self", Some(json!(path(&meta.name)))),
            ("schema", Some(json!("/v2/schemas/metadefs/namespace"))),
            (
                "resource_type_associations",
                (!types.is_empty()).then(|| json!(types)),
            ),
        ],
    )
}

/// A namespace with all that is in it. For one type of resources, words have the prefix that they
/// have when they are said of such a one.
pub(super) fn whole(namespace: &MetadataNamespace, resource_type: Option<&str>) -> Object {
    let spec = &namespace.spec;
    let prefix = resource_type
        .and_then(|name| spec.resource_types.get(name)?.prefix.as_deref())
        .unwrap_or_default();
    let mut object = brief(namespace);
    let objects: Vec<Object> = spec
        .objects
        .iter()
        .map(|(name, one)| object_shown(&namespace.meta.name, name, one, prefix))
        .collect();
    let tags: Vec<Value> = spec
        .tags
        .keys()
        .map(|name| json!({ "name": name }))
        .collect();
    let properties = prefixed(&spec.properties, prefix);
    put(
        &mut object,
        [
            (
                "properties",
                (!properties.is_empty()).then(|| json!(properties)),
            ),
            ("objects", (!objects.is_empty()).then(|| json!(objects))),
            ("tags", (!tags.is_empty()).then(|| json!(tags))),
        ],
    );
    object
}

fn prefixed(words: &BTreeMap<String, Definition>, prefix: &str) -> Map<String, Value> {
    words
        .iter()
        .map(|(name, definition)| (format!("{prefix}{name}"), json!(definition)))
        .collect()
}

/// An object as clients read it.
pub(super) fn object_shown(
    namespace: &str,
    name: &str,
    object: &MetadataObject,
    prefix: &str,
) -> Object {
    let required = object.required.iter().map(|name| format!("{prefix}{name}"));
    let required: Vec<String> = required.collect();
    let href = format!(
        "{}/objects/{}",
        path(namespace),
        utf8_percent_encode(name, NON_ALPHANUMERIC)
    );
    stamped(
        object.stamp,
        [
            ("name", Some(json!(name))),
            (
                "description",
                object.description.as_ref().map(|text| json!(text)),
            ),
            ("required", Some(json!(required))),
            (
                "properties",
                Some(json!(prefixed(&object.properties, prefix))),
            ),
            ("self", Some(json!(href))),
            ("schema", Some(json!("/v2/schemas/metadefs/object"))),
        ],
    )
}

/// A property as clients read it.
pub(super) fn property_shown(name: &str, definition: &Definition) -> Value {
    let mut shown = json!(definition);
    shown["name"] = json!(name);
    shown
}

/// The types of resources that a namespace is about.
pub(super) fn associations(namespace: &MetadataNamespace) -> Vec<Object> {
    let types = namespace.spec.resource_types.iter();
    types
        .map(|(name, about)| association_shown(name, about))
        .collect()
}

/// A type of resources as clients read it.
pub(super) fn association_shown(name: &str, about: &Association) -> Object {
    stamped(
        about.stamp,
        [
            ("name", Some(json!(name))),
            ("prefix", about.prefix.as_ref().map(|text| json!(text))),
            (
                "properties_target",
                about.properties_target.as_ref().map(|text| json!(text)),
            ),
        ],
    )
}

/// A tag as clients read it.
pub(super) fn tag_shown(name: &str, stamp: Stamp) -> Object {
    stamped(stamp, [("name", Some(json!(name)))])
}

//! What clients send of metadata definitions.
//!
//! Source: glance, the schemas in `glance/api/v2/metadef_*.py`.

use std::collections::BTreeMap;

use model::metadata_namespace::Definition;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::glance::error::ApiError;

/// Attributes that only we set.
const READ_ONLY: [&str; 4] = ["self", "schema", "created_at", "updated_at"];
/// Characters of the longest name.
const LONGEST_NAME: usize = 80;
/// Characters of the longest description of a namespace.
const LONGEST_DESCRIPTION: usize = 500;

/// A namespace with all that is in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Namespace {
    pub(super) namespace: String,
    pub(super) display_name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) visibility: Option<Visibility>,
    pub(super) protected: Option<bool>,
    pub(super) owner: Option<String>,
    #[serde(default)]
    pub(super) resource_type_associations: Vec<Association>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Property>,
    #[serde(default)]
    pub(super) objects: Vec<Object>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Visibility {
    Public,
    Private,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) required: Option<Vec<String>>,
    pub(super) properties: Option<BTreeMap<String, Property>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Association {
    pub(super) name: String,
    pub(super) prefix: Option<String>,
    pub(super) properties_target: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tag {
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tags {
    pub(super) tags: Vec<Tag>,
}

/// A word, and the schema of its values, as it came.
#[derive(Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(super) struct Property {
    pub(super) name: Option<String>,
    pub(super) definition: Definition,
}

impl TryFrom<Map<String, Value>> for Property {
    type Error = serde_json::Error;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, Self::Error> {
        let name = fields.remove("name").map(String::deserialize).transpose()?;
        Schema::deserialize(Value::Object(fields.clone()))?;
        Ok(Self {
            name,
            definition: fields,
        })
    }
}

/// The part of JSON Schema that Glance has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what has this shape is kept as it came")]
struct Schema {
    title: String,
    r#type: Type,
    description: Option<String>,
    operators: Option<Vec<String>>,
    required: Option<Vec<String>>,
    minimum: Option<serde_json::Number>,
    maximum: Option<serde_json::Number>,
    max_length: Option<u64>,
    min_length: Option<u64>,
    pattern: Option<String>,
    r#enum: Option<Vec<Value>>,
    readonly: Option<bool>,
    default: Option<Value>,
    items: Option<Items>,
    max_items: Option<u64>,
    min_items: Option<u64>,
    unique_items: Option<bool>,
    additional_items: Option<bool>,
}

/// What each part of a value that is an array is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as there")]
struct Items {
    r#type: Option<Type>,
    r#enum: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// Reads what has the schema `noun`.
pub(super) fn read<T: DeserializeOwned>(noun: &str, body: Value) -> Result<T, ApiError> {
    if let Some(fields) = body.as_object()
        && let Some(name) = READ_ONLY.iter().find(|name| fields.contains_key(**name))
    {
        return Err(ApiError::forbidden(format!(
            "Attribute '{name}' is read-only."
        )));
    }
    serde_json::from_value(body).map_err(|error| wrong(noun, &error.to_string()))
}

/// Refuses what does not have the schema `noun`.
fn wrong(noun: &str, what: &str) -> ApiError {
    ApiError::invalid(format!(
        "Provided object does not match schema '{noun}': {what}"
    ))
}

/// Refuses a name that is too long, or none.
pub(super) fn check_name(noun: &str, name: &str) -> Result<(), ApiError> {
    check_length(noun, name, LONGEST_NAME)?;
    if name.is_empty() {
        return Err(wrong(noun, "a name has at least one character"));
    }
    Ok(())
}

/// Refuses a description that is too long.
pub(super) fn check_description(noun: &str, text: Option<&str>) -> Result<(), ApiError> {
    text.map_or(Ok(()), |text| check_length(noun, text, LONGEST_DESCRIPTION))
}

fn check_length(noun: &str, text: &str, most: usize) -> Result<(), ApiError> {
    if text.chars().count() > most {
        return Err(wrong(
            noun,
            &format!("'{text}' is too long, it has at most {most} characters"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_property_is_kept_as_it_came() {
        let sent = json!({ "title": "T", "type": "string", "maxLength": 3, "enum": ["a", null] });
        let property: Property = read("property", sent.clone()).unwrap();
        assert_eq!(Value::Object(property.definition), sent);
    }

    #[test]
    fn what_has_another_schema_is_refused_by_name() {
        for body in [
            json!({ "type": "string" }),
            json!({ "title": "T", "type": "text" }),
            json!({ "title": "T", "type": "string", "colour": 1 }),
            json!([]),
        ] {
            let refused = read::<Property>("property", body.clone()).err().unwrap();
            assert!(refused.to_string().contains("schema 'property'"), "{body}");
        }
        let read_only = read::<Tag>("tag", json!({ "name": "a", "self": "x" }));
        assert!(read_only.is_err_and(|error| error.to_string().contains("read-only")));
    }
}

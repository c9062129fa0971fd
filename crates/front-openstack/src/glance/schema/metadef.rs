//! Schemas of metadata definitions.
//!
//! Source: the samples of schemas in the API reference; what is checked of a request is in
//! `metadef::wire`.

use serde_json::{Value, json};

use super::translate::{Attributes, Choices, list, one};

const TEXT: &[&str] = &["string"];
const CREATED: (&str, &[&str], &str, bool) = ("created_at", TEXT, "When it was made", true);
const UPDATED: (&str, &[&str], &str, bool) = ("updated_at", TEXT, "When it last changed", true);
const SELF: (&str, &[&str], &str, bool) = ("self", TEXT, "Its own path", true);
const SCHEMA: (&str, &[&str], &str, bool) = ("schema", TEXT, "The path of this schema", true);

const NAMESPACE: Attributes = &[
    ("namespace", TEXT, "The unique name", false),
    ("display_name", TEXT, "The name before users", false),
    ("description", TEXT, "What it is for", false),
    ("visibility", TEXT, "Who sees it", false),
    (
        "protected",
        &["boolean"],
        "It cannot be deleted, nor what is in it",
        false,
    ),
    ("owner", TEXT, "The project whose it is", false),
    (
        "resource_type_associations",
        &["array"],
        "What the words are about",
        false,
    ),
    ("properties", &["object"], "Words with values", false),
    ("objects", &["array"], "Words that go together", false),
    ("tags", &["array"], "Words without values", false),
    CREATED,
    UPDATED,
    SELF,
    SCHEMA,
];

const OBJECT: Attributes = &[
    ("name", TEXT, "Its name in the namespace", false),
    ("description", TEXT, "What it is for", false),
    (
        "required",
        &["array"],
        "The words without which it is not complete",
        false,
    ),
    ("properties", &["object"], "The words", false),
    CREATED,
    UPDATED,
    SELF,
    SCHEMA,
];

const PROPERTY: Attributes = &[
    ("name", TEXT, "Its name in the namespace", false),
    ("title", TEXT, "The name before users", false),
    ("type", TEXT, "What its values are", false),
    ("description", TEXT, "What it is for", false),
    ("operators", &["array"], "How values are compared", false),
    ("required", &["array"], "What a value must have", false),
    ("minimum", &["number"], "The least value", false),
    ("maximum", &["number"], "The greatest value", false),
    ("maxLength", &["integer"], "Most characters", false),
    ("minLength", &["integer"], "Fewest characters", false),
    ("pattern", TEXT, "What values look like", false),
    ("enum", &["array"], "The only values", false),
    ("readonly", &["boolean"], "Users do not set it", false),
    (
        "default",
        &["array", "boolean", "number", "object", "string", "null"],
        "The value that it has unsaid",
        false,
    ),
    ("items", &["object"], "What is in a value", false),
    ("maxItems", &["integer"], "Most items", false),
    ("minItems", &["integer"], "Fewest items", false),
    ("uniqueItems", &["boolean"], "No item comes twice", false),
    (
        "additionalItems",
        &["boolean"],
        "Others may be there",
        false,
    ),
];

const ASSOCIATION: Attributes = &[
    ("name", TEXT, "The type, as Heat calls it", false),
    (
        "prefix",
        TEXT,
        "What words begin with when they are said of such a resource",
        false,
    ),
    (
        "properties_target",
        TEXT,
        "Where words are said of a resource that has several places",
        false,
    ),
    CREATED,
    UPDATED,
];

const TAG: Attributes = &[
    ("name", TEXT, "Its name in the namespace", false),
    CREATED,
    UPDATED,
];

const CHOICES: Choices = &[
    ("visibility", &["public", "private"]),
    (
        "type",
        &["array", "boolean", "integer", "number", "object", "string"],
    ),
];

/// The schema of this name.
pub(super) fn schema(name: &str) -> Option<Value> {
    let association = "resource_type_association";
    Some(match name {
        "namespace" => strict("namespace", NAMESPACE, &["namespace"]),
        "namespaces" => list(
            "namespaces",
            "namespace",
            &one("namespace", NAMESPACE, CHOICES),
        ),
        "object" => strict("object", OBJECT, &["name"]),
        "objects" => list("objects", "object", &one("object", OBJECT, CHOICES)),
        "property" => strict("property", PROPERTY, &["name", "title", "type"]),
        "properties" => list(
            "properties",
            "property",
            &one("property", PROPERTY, CHOICES),
        ),
        "resource_type" => strict(association, ASSOCIATION, &["name"]),
        "resource_types" => list(
            "resource_type_associations",
            association,
            &one(association, ASSOCIATION, CHOICES),
        ),
        "tag" => strict("tag", TAG, &["name"]),
        "tags" => list("tags", "tag", &one("tag", TAG, CHOICES)),
        _ => return None,
    })
}

/// The schema of what a client sends: nothing else, and not less than `required`.
fn strict(name: &str, attributes: Attributes, required: &[&str]) -> Value {
    let mut schema = one(name, attributes, CHOICES);
    schema["required"] = json!(required);
    schema["additionalProperties"] = json!(false);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_has_a_schema_for_one_and_for_many() {
        for (one, many) in [
            ("namespace", "namespaces"),
            ("object", "objects"),
            ("property", "properties"),
            ("resource_type", "resource_types"),
            ("tag", "tags"),
        ] {
            let (one, many) = (schema(one).unwrap(), schema(many).unwrap());
            let name = many["name"].as_str().unwrap();
            assert_eq!(many["properties"][name]["items"]["name"], one["name"]);
        }
        assert!(schema("images").is_none());
    }
}

//! Schemas of images, members and tasks, and of lists of them.
//!
//! Source: the samples of schemas in the API reference.

use serde_json::{Map, Value, json};

/// Attributes of a noun: name, types, what it is, and whether only we set it.
pub(super) type Attributes =
    &'static [(&'static str, &'static [&'static str], &'static str, bool)];
/// Values of which an attribute has one, by its name.
pub(super) type Choices = &'static [(&'static str, &'static [&'static str])];

const IMAGE: Attributes = &[
    ("id", &["string"], "An identifier for the image", false),
    (
        "name",
        &["null", "string"],
        "Descriptive name for the image",
        false,
    ),
    ("status", &["string"], "Status of the image", true),
    (
        "visibility",
        &["string"],
        "Scope of image accessibility",
        false,
    ),
    (
        "protected",
        &["boolean"],
        "If true, image will not be deletable.",
        false,
    ),
    (
        "os_hidden",
        &["boolean"],
        "If true, image will not appear in default image list response.",
        false,
    ),
    (
        "checksum",
        &["null", "string"],
        "md5 hash of image contents.",
        true,
    ),
    (
        "os_hash_algo",
        &["null", "string"],
        "Algorithm to calculate the os_hash_value",
        true,
    ),
    (
        "os_hash_value",
        &["null", "string"],
        "Hexdigest of the image contents",
        true,
    ),
    ("owner", &["null", "string"], "Owner of the image", false),
    (
        "size",
        &["null", "integer"],
        "Size of image file in bytes",
        true,
    ),
    (
        "virtual_size",
        &["null", "integer"],
        "Virtual size of image in bytes",
        true,
    ),
    (
        "container_format",
        &["null", "string"],
        "Format of the container",
        false,
    ),
    (
        "disk_format",
        &["null", "string"],
        "Format of the disk",
        false,
    ),
    (
        "created_at",
        &["string"],
        "Date and time of image registration",
        true,
    ),
    (
        "updated_at",
        &["string"],
        "Date and time of the last image modification",
        true,
    ),
    (
        "tags",
        &["array"],
        "List of strings related to the image",
        false,
    ),
    (
        "min_ram",
        &["integer"],
        "Amount of ram (in MB) required to boot image.",
        false,
    ),
    (
        "min_disk",
        &["integer"],
        "Amount of disk space (in GB) required to boot image.",
        false,
    ),
    ("self", &["string"], "An image self url", true),
    ("file", &["string"], "An image file url", true),
    ("schema", &["string"], "An image schema url", true),
    (
        "stores",
        &["string"],
        "Store in which image data resides.",
        true,
    ),
    (
        "os_command_line",
        &["string"],
        "The command that containers run instead of the image's own",
        false,
    ),
];

const MEMBER: Attributes = &[
    ("image_id", &["string"], "An identifier for the image", true),
    (
        "member_id",
        &["string"],
        "An identifier for the image member",
        true,
    ),
    (
        "status",
        &["string"],
        "The status of this image member",
        false,
    ),
    (
        "created_at",
        &["string"],
        "Date and time of image member creation",
        true,
    ),
    (
        "updated_at",
        &["string"],
        "Date and time of last modification of image member",
        true,
    ),
    ("schema", &["string"], "A schema url", true),
];

const TASK: Attributes = &[
    ("id", &["string"], "An identifier for the task", true),
    (
        "type",
        &["string"],
        "The type of task represented by this content",
        true,
    ),
    (
        "status",
        &["string"],
        "The current status of this task",
        true,
    ),
    (
        "input",
        &["null", "object"],
        "The parameters required by task, JSON blob",
        true,
    ),
    (
        "result",
        &["null", "object"],
        "The result of current task, JSON blob",
        true,
    ),
    (
        "owner",
        &["string"],
        "An identifier for the owner of this task",
        true,
    ),
    (
        "message",
        &["string"],
        "Human-readable informative message",
        true,
    ),
    (
        "image_id",
        &["string"],
        "Image associated with the task",
        true,
    ),
    (
        "request_id",
        &["string"],
        "Human-readable informative request-id",
        true,
    ),
    (
        "user_id",
        &["string"],
        "User associated with the task",
        true,
    ),
    (
        "expires_at",
        &["null", "string"],
        "Datetime when this resource would be subject to removal",
        true,
    ),
    (
        "created_at",
        &["string"],
        "Datetime when this resource was created",
        true,
    ),
    (
        "updated_at",
        &["string"],
        "Datetime when this resource was updated",
        true,
    ),
    ("self", &["string"], "A self url", true),
    ("schema", &["string"], "A schema url", true),
];

const CHOICES: Choices = &[
    ("visibility", &["community", "public", "private", "shared"]),
    ("container_format", &["bare", "docker"]),
    ("disk_format", &["raw"]),
    ("type", &["api_image_import"]),
];

/// The schema of this name.
pub(super) fn schema(name: &str) -> Option<Value> {
    Some(match name {
        "image" => image(),
        "images" => list("images", "image", &image()),
        "member" => one("member", MEMBER, CHOICES),
        "members" => list("members", "member", &one("member", MEMBER, CHOICES)),
        "task" => one("task", TASK, CHOICES),
        "tasks" => list("tasks", "task", &one("task", TASK, CHOICES)),
        _ => return None,
    })
}

/// A noun of these attributes.
pub(super) fn one(name: &str, attributes: Attributes, choices: Choices) -> Value {
    let properties: Map<String, Value> = attributes
        .iter()
        .map(|(name, types, about, read_only)| {
            let mut property = json!({ "type": types, "description": about });
            if let [one] = types {
                property["type"] = json!(one);
            }
            if *read_only {
                property["readOnly"] = json!(true);
            }
            if let Some((_, values)) = choices.iter().find(|(choice, _)| choice == name) {
                let null = types.contains(&"null").then_some(Value::Null);
                let values = values.iter().map(|value| json!(value));
                property["enum"] = null.into_iter().chain(values).collect();
            }
            ((*name).to_owned(), property)
        })
        .collect();
    json!({ "name": name, "properties": properties })
}

/// Images have properties beside their attributes, which are texts.
fn image() -> Value {
    let mut schema = one("image", IMAGE, CHOICES);
    schema["properties"]["tags"]["items"] = json!({ "type": "string", "maxLength": 255 });
    schema["additionalProperties"] = json!({ "type": "string" });
    schema["links"] = json!([
        { "rel": "self", "href": "{self}" },
        { "rel": "enclosure", "href": "{file}" },
        { "rel": "describedby", "href": "{schema}" },
    ]);
    schema
}

/// Nouns in a list.
pub(super) fn list(name: &str, noun: &str, item: &Value) -> Value {
    json!({
        "name": name,
        "properties": {
            name: { "type": "array", "items": item },
            "first": { "type": "string" },
            "next": { "type": "string" },
            "schema": { "type": "string" },
        },
        "links": [
            { "rel": "first", "href": "{first}" },
            { "rel": "next", "href": "{next}" },
            { "rel": "describedby", "href": "{schema}", "title": noun },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_told() {
        let image = schema("image").unwrap();
        assert_eq!(
            image["properties"]["container_format"]["enum"],
            json!([null, "bare", "docker"])
        );
        assert_eq!(image["properties"]["size"]["readOnly"], true);
        assert_eq!(schema("members").unwrap()["name"], "members");
        assert!(schema("metadefs").is_none());
    }
}

//! Between an image and what clients read and write of it.

use std::collections::BTreeSet;

use actions::registered_image::{Edit, NewImage};
use model::ProjectId;
use model::registered_image::{
    DiskFormat, RegisteredImage, RegisteredImageSpec, Visibility, Wrapping,
};
use serde_json::{Value, json};

use crate::glance::STORE;
use crate::glance::answer::Object;
use crate::glance::error::ApiError;
use crate::{id, time};

/// Characters of the longest name, tag, and name of a property.
const LONGEST: usize = 255;
/// What the names of our own properties begin with.
const RESERVED_PREFIX: &str = "os_glance_";
/// Attributes that are told, never asked for.
const READ_ONLY: [&str; 13] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "direct_url",
    "self",
    "file",
    "schema",
    "id",
    "os_hash_algo",
    "os_hash_value",
];
/// Attributes that a new image cannot be asked to have.
const DISALLOWED: [&str; 5] = ["direct_url", "self", "file", "schema", "stores"];
/// Names that are none of users'.
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];
/// Attributes of every image.
const BASE: [&str; 11] = [
    "name",
    "visibility",
    "owner",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "tags",
    "locations",
];

/// An image as clients read it.
pub(in crate::glance) fn shown(image: &RegisteredImage) -> Object {
    let spec = &image.spec;
    let id = image.meta.id;
    let file = spec.file();
    let updated = image.meta.updated_at.unwrap_or(image.meta.created_at);
    let mut object: Object = spec
        .properties
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let size = spec.data.as_ref().map(|data| data.size_bytes);
    let size = size.or(spec.staged.as_ref().map(|file| file.size_bytes));
    let attributes = [
        ("id", json!(id.to_string())),
        ("name", json!(spec.name)),
        ("status", json!(spec.state.as_str())),
        ("visibility", json!(spec.visibility.as_str())),
        ("owner", json!(id::show(image.meta.project.0))),
        (
            "container_format",
            json!(spec.wrapping.map(Wrapping::as_str)),
        ),
        ("disk_format", json!(spec.format.map(DiskFormat::as_str))),
        ("min_disk", json!(spec.min_disk_gib)),
        ("min_ram", json!(spec.min_ram_mib)),
        ("protected", json!(spec.protected)),
        ("os_hidden", json!(spec.hidden)),
        ("tags", json!(spec.tags)),
        ("size", json!(size)),
        ("virtual_size", Value::Null),
        ("checksum", json!(file.map(|file| &file.md5))),
        ("os_hash_algo", json!(file.map(|_| "sha512"))),
        ("os_hash_value", json!(file.map(|file| &file.sha512))),
        ("created_at", json!(time::seconds(image.meta.created_at))),
        ("updated_at", json!(time::seconds(updated))),
        ("self", json!(format!("/v2/images/{id}"))),
        ("file", json!(format!("/v2/images/{id}/file"))),
        ("schema", json!("/v2/schemas/image")),
    ];
    object.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    if spec.data.is_some() {
        object.insert("stores".to_owned(), json!(STORE));
    }
    if let Some(task) = spec.task {
        object.insert("os_glance_import_task".to_owned(), json!(task.to_string()));
        object.insert("os_glance_importing_to_stores".to_owned(), json!(STORE));
    }
    if spec.import_failed {
        object.insert("os_glance_failed_import".to_owned(), json!(STORE));
    }
    object
}

/// The image to register.
pub(super) fn new(body: Value) -> Result<NewImage, ApiError> {
    let Value::Object(fields) = body else {
        return Err(mismatch("the body is not of type 'object'"));
    };
    let mut new = NewImage::default();
    for (name, value) in fields {
        if DISALLOWED.contains(&name.as_str()) {
            return Err(read_only(&name));
        }
        if name == "id" {
            let id = value.as_str().and_then(|text| text.parse().ok());
            new.id = Some(id.ok_or_else(|| mismatch(format!("id: {value} is not a UUID")))?);
            continue;
        }
        set(&mut new, edit(&name, value, None)?);
    }
    Ok(new)
}

fn set(new: &mut NewImage, edit: Edit) {
    let spec: &mut RegisteredImageSpec = &mut new.spec;
    match edit {
        Edit::Name(name) => spec.name = name,
        Edit::Visibility(visibility) => spec.visibility = visibility,
        Edit::Owner(project) => new.owner = Some(project),
        Edit::Wrapping(wrapping) => spec.wrapping = wrapping,
        Edit::Format(format) => spec.format = format,
        Edit::MinDisk(gib) => spec.min_disk_gib = gib,
        Edit::MinRam(mib) => spec.min_ram_mib = mib,
        Edit::Protected(protected) => spec.protected = protected,
        Edit::Hidden(hidden) => spec.hidden = hidden,
        Edit::Tags(tags) => spec.tags = tags,
        Edit::AddTag(tag) => {
            spec.tags.insert(tag);
        }
        Edit::RemoveTag(tag) => {
            spec.tags.remove(&tag);
        }
        Edit::SetProperty { name, value, .. } => {
            spec.properties.insert(name, value);
        }
        Edit::RemoveProperty(name) => {
            spec.properties.remove(&name);
        }
    }
}

/// Whether every image has an attribute of this name.
pub(super) fn is_base(name: &str) -> bool {
    BASE.contains(&name)
}

/// Refuses names that are none of users' to set.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    if READ_ONLY.contains(&name) || name == "stores" {
        return Err(read_only(name));
    }
    if RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX) {
        return Err(ApiError::forbidden(format!(
            "Attribute '{name}' is reserved."
        )));
    }
    Ok(())
}

/// What it means to give a property this value, whether it is there or not.
pub(crate) fn property(name: &str, value: &str) -> Result<Edit, ApiError> {
    check_name(name)?;
    if is_base(name) {
        return Err(ApiError::invalid(format!("'{name}' is not a property.")));
    }
    Ok(Edit::SetProperty {
        name: name.to_owned(),
        value: value.to_owned(),
        must_exist: None,
    })
}

fn read_only(name: &str) -> ApiError {
    ApiError::forbidden(format!("Attribute '{name}' is read-only."))
}

/// What it means to give an attribute this value; a property must exist, or must not, as told.
pub(super) fn edit(name: &str, value: Value, must_exist: Option<bool>) -> Result<Edit, ApiError> {
    check_name(name)?;
    let wrong = |what: &str| mismatch(format!("{name}: {value} is not {what}"));
    Ok(match name {
        "name" => Edit::Name(match &value {
            Value::Null => None,
            Value::String(text) if is_short(text) => Some(text.clone()),
            _ => return Err(wrong("a string of at most 255 characters, or null")),
        }),
        "visibility" => Edit::Visibility(match value.as_str() {
            Some("private") => Visibility::Private,
            Some("shared") => Visibility::Shared,
            Some("community") => Visibility::Community,
            Some("public") => Visibility::Public,
            _ => return Err(wrong("one of ['community', 'public', 'private', 'shared']")),
        }),
        "owner" => {
            let project = value.as_str().and_then(id::parse).map(ProjectId);
            Edit::Owner(project.ok_or_else(|| wrong("a project"))?)
        }
        "container_format" => Edit::Wrapping(match value.as_str() {
            Some("bare") => Some(Wrapping::Bare),
            Some("docker") => Some(Wrapping::Docker),
            None if value.is_null() => None,
            _ => return Err(wrong("one of [None, 'bare', 'docker']")),
        }),
        "disk_format" => Edit::Format(match value.as_str() {
            Some("raw") => Some(DiskFormat::Raw),
            None if value.is_null() => None,
            _ => return Err(wrong("one of [None, 'raw']")),
        }),
        "min_disk" => Edit::MinDisk(number(&value).ok_or_else(|| wrong("a size in GiB"))?),
        "min_ram" => Edit::MinRam(number(&value).ok_or_else(|| wrong("a size in MiB"))?),
        "protected" => Edit::Protected(value.as_bool().ok_or_else(|| wrong("of type 'boolean'"))?),
        "os_hidden" => Edit::Hidden(value.as_bool().ok_or_else(|| wrong("of type 'boolean'"))?),
        "tags" => Edit::Tags(
            tags(&value).ok_or_else(|| wrong("a list of strings of at most 255 characters"))?,
        ),
        "locations" => {
            return Err(ApiError::forbidden(
                "It's not allowed to add locations if locations are invisible.",
            ));
        }
        _ if !is_short(name) => {
            return Err(ApiError::invalid(
                "Custom property should not be greater than 255 characters.",
            ));
        }
        _ => Edit::SetProperty {
            name: name.to_owned(),
            value: value
                .as_str()
                .ok_or_else(|| wrong("of type 'string'"))?
                .to_owned(),
            must_exist,
        },
    })
}

fn number(value: &Value) -> Option<u32> {
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| i32::try_from(*number).is_ok())
}

fn tags(value: &Value) -> Option<BTreeSet<String>> {
    let tag = |value: &Value| {
        let tag = value.as_str().filter(|tag| is_short(tag));
        tag.map(str::to_owned)
    };
    value.as_array()?.iter().map(tag).collect()
}

fn is_short(text: &str) -> bool {
    text.chars().count() <= LONGEST
}

fn mismatch(what: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!(
        "Provided object does not match schema 'image': {what}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Value) -> String {
        new(body).unwrap_err().to_string()
    }

    #[test]
    fn a_new_image_is_shared_with_nobody_yet() {
        let new = new(json!({ "name": null, "os_command_line": "top", "tags": ["a", "a"] }));
        let spec = new.unwrap().spec;
        assert_eq!(spec.visibility, Visibility::Shared);
        assert_eq!(spec.properties["os_command_line"], "top");
        assert_eq!(spec.tags.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (body, words) in [
            (json!([]), "object"),
            (json!({ "disk_format": "qcow2" }), "disk_format: \"qcow2\""),
            (json!({ "container_format": 1 }), "container_format: 1"),
            (json!({ "min_ram": -1 }), "min_ram: -1"),
            (json!({ "min_ram": 2_147_483_648_u64 }), "min_ram"),
            (json!({ "visibility": "none" }), "visibility"),
            (json!({ "id": "x" }), "id: \"x\""),
            (json!({ "size": 1 }), "'size' is read-only"),
            (json!({ "stores": "x" }), "'stores' is read-only"),
            (json!({ "os_glance_x": "y" }), "'os_glance_x' is reserved"),
            (json!({ "speed": 88 }), "speed: 88 is not of type 'string'"),
            (json!({ "tags": ["a", 1] }), "tags"),
            (json!({ "a".repeat(256): "x" }), "255 characters"),
        ] {
            let refused = refused(body.clone());
            assert!(refused.contains(words), "{body}: {refused}");
        }
    }
}

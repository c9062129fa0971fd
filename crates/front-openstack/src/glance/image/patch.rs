//! Changes of an image, as clients write them: a JSON patch in the form of one of two drafts.
//!
//! Source: draft-ietf-appsawg-json-patch-10 for version 2.1 of the media type, -04 for 2.0.

use actions::registered_image::Edit;
use http::StatusCode;
use serde_json::{Map, Value};

use super::translate::{check_name, edit, is_base};
use crate::glance::error::ApiError;

/// Draft 4: `{"add": "/path", "value": ...}`.
const DRAFT_4: &str = "application/openstack-images-v2.0-json-patch";
/// Draft 10: `{"op": "add", "path": "/path", "value": ...}`.
const DRAFT_10: &str = "application/openstack-images-v2.1-json-patch";
const OPERATIONS: [&str; 3] = ["add", "remove", "replace"];

/// What a patch of this media type asks for.
pub(super) fn edits(media_type: &str, body: Value) -> Result<Vec<Edit>, ApiError> {
    let is_draft_4 = match media_type.split(';').next().unwrap_or_default().trim() {
        DRAFT_4 => true,
        DRAFT_10 => false,
        _ => {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("Image PATCH expects Content-Type one of: {DRAFT_4}, {DRAFT_10}"),
            ));
        }
    };
    let Value::Array(changes) = body else {
        return Err(ApiError::invalid(
            "Request body must be a JSON array of operation objects.",
        ));
    };
    let one = |change| match change {
        Value::Object(change) => one_edit(is_draft_4, change),
        _ => Err(ApiError::invalid("Operations must be JSON objects.")),
    };
    changes.into_iter().map(one).collect()
}

fn one_edit(is_draft_4: bool, mut change: Map<String, Value>) -> Result<Edit, ApiError> {
    let (operation, pointer) = if is_draft_4 {
        draft_4(&change)?
    } else {
        draft_10(&change)?
    };
    let name = attribute(&pointer)?;
    if operation == "remove" {
        check_name(&name)?;
        if is_base(&name) {
            return Err(ApiError::forbidden(format!(
                "Property {name} may not be removed."
            )));
        }
        return Ok(Edit::RemoveProperty(name));
    }
    let value = change.remove("value").ok_or_else(|| {
        ApiError::invalid(format!(
            "Operation \"{operation}\" requires a member named \"value\"."
        ))
    })?;
    let must_exist = match operation {
        "replace" => Some(true),
        _ if is_draft_4 => Some(false),
        _ => None,
    };
    if must_exist == Some(false) && is_base(&name) {
        check_name(&name)?;
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("Property {name} already present."),
        ));
    }
    edit(&name, value, must_exist)
}

fn draft_4(change: &Map<String, Value>) -> Result<(&'static str, String), ApiError> {
    let mut found = OPERATIONS
        .iter()
        .filter_map(|operation| Some((*operation, change.get(*operation)?)));
    match (found.next(), found.next()) {
        (Some((operation, pointer)), None) => Ok((operation, text(pointer)?)),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "Operation objects must contain only one member named \"add\", \"remove\", or \"replace\".",
        )),
        (None, _) => Err(ApiError::invalid(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".",
        )),
    }
}

fn draft_10(change: &Map<String, Value>) -> Result<(&'static str, String), ApiError> {
    let available = OPERATIONS.join(", ");
    let wanted = change.get("op").ok_or_else(|| {
        ApiError::invalid(format!(
            "Unable to find `op` in JSON Schema change. It must be one of the following: {available}."
        ))
    })?;
    let operation = OPERATIONS
        .into_iter()
        .find(|operation| wanted == operation)
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid operation: `{wanted}`. It must be one of the following: {available}."
            ))
        })?;
    let pointer = change
        .get("path")
        .ok_or_else(|| ApiError::invalid("Unable to find 'path' in JSON Schema change"))?;
    Ok((operation, text(pointer)?))
}

fn text(pointer: &Value) -> Result<String, ApiError> {
    let text = pointer.as_str().map(str::to_owned);
    text.ok_or_else(|| ApiError::invalid(format!("Pointer `{pointer}` is not a string.")))
}

/// The attribute that a JSON pointer (RFC 6901) leads to; there are none within others.
fn attribute(pointer: &str) -> Result<String, ApiError> {
    let Some(path) = pointer.strip_prefix('/') else {
        return Err(ApiError::invalid(format!(
            "Pointer `{pointer}` does not start with \"/\"."
        )));
    };
    let mut escapes = path.split('~').skip(1);
    if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(ApiError::invalid(format!(
            "Pointer `{pointer}` contains \"~\" not part of a recognized escape sequence."
        )));
    }
    // Locations alone have parts; which one does not matter, as none can be changed.
    let is_location = path == "locations" || path.starts_with("locations/");
    let root = if is_location { "locations" } else { path };
    if root.trim().is_empty() || root.contains('/') {
        return Err(ApiError::invalid(format!(
            "Invalid JSON pointer for this resource: '{pointer}'"
        )));
    }
    Ok(root.replace("~1", "/").replace("~0", "~").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn property(name: &str, must_exist: Option<bool>) -> Edit {
        Edit::SetProperty {
            name: name.to_owned(),
            value: "1".to_owned(),
            must_exist,
        }
    }

    #[test]
    fn both_drafts_are_read() {
        let old = json!([
            { "add": "/a~1b~0", "value": "1" },
            { "replace": "/name", "value": "n" },
            { "remove": "/c" },
        ]);
        let expected = [
            property("a/b~", Some(false)),
            Edit::Name(Some("n".to_owned())),
            Edit::RemoveProperty("c".to_owned()),
        ];
        assert_eq!(edits(DRAFT_4, old).unwrap(), expected);
        let new = json!([
            { "op": "add", "path": "/a", "value": "1" },
            { "op": "replace", "path": "/a", "value": "1" },
            { "op": "add", "path": "/protected", "value": true },
        ]);
        let expected = [
            property("a", None),
            property("a", Some(true)),
            Edit::Protected(true),
        ];
        let kind = format!("{DRAFT_10}; charset=UTF-8");
        assert_eq!(edits(&kind, new).unwrap(), expected);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (body, words) in [
            (json!({}), "JSON array"),
            (json!([1]), "JSON objects"),
            (json!([{}]), "Unable to find `op`"),
            (json!([{ "op": "move", "path": "/a" }]), "Invalid operation"),
            (
                json!([{ "op": "add", "value": "x" }]),
                "Unable to find 'path'",
            ),
            (
                json!([{ "op": "add", "path": "a", "value": "x" }]),
                "does not start",
            ),
            (
                json!([{ "op": "add", "path": "/a~2", "value": "x" }]),
                "escape",
            ),
            (
                json!([{ "op": "add", "path": "/a/b", "value": "x" }]),
                "Invalid JSON pointer",
            ),
            (
                json!([{ "op": "add", "path": "/", "value": "x" }]),
                "Invalid JSON pointer",
            ),
            (
                json!([{ "op": "add", "path": "/a" }]),
                "member named \"value\"",
            ),
            (
                json!([{ "op": "remove", "path": "/name" }]),
                "may not be removed",
            ),
            (json!([{ "op": "remove", "path": "/id" }]), "read-only"),
            (
                json!([{ "op": "add", "path": "/locations/-", "value": {} }]),
                "locations",
            ),
            (
                json!([{ "op": "replace", "path": "/os_glance_a", "value": "x" }]),
                "reserved",
            ),
        ] {
            let refused = edits(DRAFT_10, body.clone()).unwrap_err().to_string();
            assert!(refused.contains(words), "{body}: {refused}");
        }
        assert!(edits("application/json", json!([])).is_err());
        let both = json!([{ "add": "/a", "remove": "/a" }]);
        assert!(edits(DRAFT_4, both).is_err());
        let there = json!([{ "add": "/name", "value": "n" }]);
        assert!(edits(DRAFT_4, there).is_err());
    }
}

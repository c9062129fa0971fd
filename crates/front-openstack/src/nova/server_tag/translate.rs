//! Tags as clients write them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::nova::error::ApiError;
use crate::nova::fields::{text_of, wrong};

/// Characters of the longest tag.
const LONGEST: usize = 60;
/// Most tags of a server.
pub(in crate::nova) const MOST: usize = 50;

/// Reads a list of tags.
pub(in crate::nova) fn read(values: Vec<Value>) -> Result<BTreeSet<String>, ApiError> {
    let all = Value::from(values.clone());
    let tags: BTreeSet<String> = values.into_iter().map(tag).collect::<Result<_, _>>()?;
    if tags.len() > MOST {
        return Err(wrong("tags", &all, "the list is too long"));
    }
    Ok(tags)
}

/// Reads a tag.
pub(in crate::nova) fn tag(value: Value) -> Result<String, ApiError> {
    let text = text_of("tag", value, &(1..=LONGEST))?;
    if text.contains([',', '/']) {
        let message = format!("'{text}' does not match '^[^,/]*$'");
        return Err(wrong("tag", &Value::from(text), message));
    }
    Ok(text)
}
